//! FIM cards: computing, keeping, importing.

use std::collections::BTreeMap;
use std::sync::Arc;

use disinherit_data::DataSet;
use disinherit_formats::Dtype;
use disinherit_nets::{Capture, Compute, InnerJob, inner_fisher};
use disinherit_registry::{
    CardHeader, CardRow, CardSource, FisherCard, Operation, Publication, Registry, RegistryError,
};
use fiun::{
    DATA_FREE_ALPHA, Estimator, FisherTensor, HeadFisher, LayerFisher, Matrix, MatrixRef,
    Precision, head_fisher, head_precision, linear, residuals,
};
use serde_json::json;
use umig::{ModelId, Umig};

use crate::layers::Selected;
use crate::runner::runner_of;
use crate::{
    EngineError, Features, Layers, LoadedModel, Progress, Runner, Silent, Stage, own_data,
};

/// Samples that the search for a sufficient subset starts with.
const FIRST: usize = 512;

/// How Fisher information is computed.
#[derive(Debug, Clone, PartialEq)]
pub struct FisherOptions {
    /// Which quantity it is.
    pub estimator: Estimator,
    /// The layers that a card is to hold. The head's FIM is always there.
    pub layers: Layers,
    /// Use at most this many of a model's own training samples.
    pub samples: Option<usize>,
    /// Use as many samples as are needed to leave at most this share of selection decisions open.
    pub precision: Option<f64>,
    /// The bytes that inner layers may use; `None` for at most 2 GiB of activations.
    pub memory: Option<u64>,
    /// Decides which samples are used.
    pub seed: u64,
    /// Where the network runs.
    pub compute: Compute,
}

impl Default for FisherOptions {
    fn default() -> Self {
        Self {
            estimator: Estimator::Empirical,
            layers: Layers::Head,
            samples: None,
            precision: None,
            memory: None,
            seed: 0,
            compute: Compute::default(),
        }
    }
}

impl FisherOptions {
    /// The part of a set that is looked at.
    pub(crate) fn subset(&self, set: &DataSet) -> DataSet {
        match self.samples {
            Some(limit) => set.sample(limit, self.seed),
            None => set.clone(),
        }
    }
}

/// FIMs by the full name of the tensor.
pub(crate) type Tensors = BTreeMap<String, FisherTensor>;

/// What a pass over data gives.
struct Pass {
    /// The head's input.
    features: Arc<Matrix>,
    /// Its output.
    logits: Matrix,
    /// The FIM of the selected inner layers.
    inner: Tensors,
}

/// What a card is made of.
struct Estimate {
    set: DataSet,
    fisher: HeadFisher,
    precision: Option<Precision>,
    inner: Tensors,
}

/// Computes cards.
pub(crate) struct CardMaker<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) options: &'a FisherOptions,
    pub(crate) features: &'a Features<'a>,
    pub(crate) progress: &'a dyn Progress,
}

impl CardMaker<'_> {
    /// The card of a model on its own data.
    pub(crate) fn make(
        &self,
        model: &LoadedModel,
        own: &DataSet,
    ) -> Result<FisherCard, EngineError> {
        let selected = self.options.layers.of(model, self.features.runner())?;
        let Estimate {
            set,
            fisher,
            precision,
            inner,
        } = match self.options.precision {
            Some(open) => self.until_precise(model, own, open, &selected)?,
            None => self.of_subset(model, own, &selected)?,
        };
        let source = CardSource {
            model: model.digest,
            data: set.digest().to_string(),
            head: model.manifest.head.clone(),
            outputs: model.manifest.labels.clone(),
            classes: set.label_names().to_vec(),
            precision,
            time: crate::now(),
        };
        Ok(FisherCard::new(source, fisher, inner)?)
    }

    /// The head's FIM of a data set in total, and that of the selected inner layers.
    pub(crate) fn total(
        &self,
        model: &LoadedModel,
        set: &DataSet,
        selected: &Selected,
    ) -> Result<(LayerFisher, Tensors), EngineError> {
        let pass = self.pass(model, set, selected)?;
        let (fisher, _) = self.head(model, set, &pass.features, &pass.logits)?;
        Ok((fisher.total, pass.inner))
    }

    /// Features and logits, and the FIM of inner layers where it is wanted: then one pass gives
    /// both, else features may come from the cache.
    fn pass(
        &self,
        model: &LoadedModel,
        set: &DataSet,
        selected: &Selected,
    ) -> Result<Pass, EngineError> {
        if selected.inner.is_empty() {
            let features = self.features.of(model, set, self.progress)?;
            let logits = self.features.logits(model, &features)?;
            return Ok(Pass {
                features,
                logits,
                inner: Tensors::new(),
            });
        }
        let stage = self
            .progress
            .stage(&format!("FIM of {}", model.id()), set.len() as u64);
        if let Some(runner) = runner_of(self.features.runner(), set)? {
            return self.pass_elsewhere(runner, model, set, selected, stage.as_ref());
        }
        let wanted = |name: &str| selected.inner.iter().any(|known| known == name);
        let job = InnerJob {
            architecture: &model.architecture,
            state: &model.state(self.registry)?,
            set,
            rows: &model.rows(set)?,
            preprocessing: &model.preprocessing,
            estimator: self.options.estimator,
            wanted: &wanted,
            memory: self.options.memory,
        };
        let inner = inner_fisher(&job, &mut |n| stage.advance(n as u64))
            .map_err(EngineError::net(model.id()))?;
        Ok(Pass {
            features: Arc::new(inner.capture.features),
            logits: inner.capture.logits,
            inner: inner.tensors,
        })
    }

    /// The same of samples that are elsewhere.
    fn pass_elsewhere(
        &self,
        runner: &dyn Runner,
        model: &LoadedModel,
        set: &DataSet,
        selected: &Selected,
        stage: &dyn Stage,
    ) -> Result<Pass, EngineError> {
        if let Estimator::Batch { .. } = self.options.estimator {
            return Err(EngineError::Refused(
                "the batch estimator of inner layers is for networks that run here; take \
                 `empirical` or `true:SEED`"
                    .into(),
            ));
        }
        let weights = model.state(self.registry)?;
        let Capture { features, logits } = runner.capture(model, &weights, set, &Silent)?;
        let residuals = residuals(logits.view(), &model.rows(set)?, self.options.estimator)
            .map_err(EngineError::fisher(model.id(), &model.manifest.head))?;
        let inner =
            runner.inner_fisher(model, &weights, set, &residuals, &selected.inner, stage)?;
        Ok(Pass {
            features: Arc::new(features),
            logits,
            inner,
        })
    }

    /// The head's FIM, and the residuals that it was made from.
    fn head(
        &self,
        model: &LoadedModel,
        set: &DataSet,
        features: &Matrix,
        logits: &Matrix,
    ) -> Result<(HeadFisher, Matrix), EngineError> {
        let wrap = |error| EngineError::fisher(model.id(), &model.manifest.head)(error);
        let estimator = self.options.estimator;
        let residuals = residuals(logits.view(), &model.rows(set)?, estimator).map_err(wrap)?;
        let fisher = head_fisher(
            features.view(),
            residuals.view(),
            set.labels(),
            set.label_names().len(),
            estimator,
        )
        .map_err(wrap)?;
        Ok((fisher, residuals))
    }

    /// All of the data, or as much of it as the options allow.
    fn of_subset(
        &self,
        model: &LoadedModel,
        own: &DataSet,
        selected: &Selected,
    ) -> Result<Estimate, EngineError> {
        let set = self.options.subset(own);
        let pass = self.pass(model, &set, selected)?;
        let (fisher, residuals) = self.head(model, &set, &pass.features, &pass.logits)?;
        let per_sample = !matches!(self.options.estimator, Estimator::Batch { .. });
        let precision = (set.len() < own.len() && per_sample)
            .then(|| {
                head_precision(
                    pass.features.view(),
                    residuals.view(),
                    set.labels(),
                    &fisher,
                    &own.counts(),
                    DATA_FREE_ALPHA,
                )
            })
            .transpose()
            .map_err(EngineError::fisher(model.id(), &model.manifest.head))?;
        Ok(Estimate {
            set,
            fisher,
            precision,
            inner: pass.inner,
        })
    }

    /// Doubles the number of samples until few enough decisions are open, or all are used.
    fn until_precise(
        &self,
        model: &LoadedModel,
        own: &DataSet,
        open: f64,
        selected: &Selected,
    ) -> Result<Estimate, EngineError> {
        if let Estimator::Batch { .. } = self.options.estimator {
            return Err(EngineError::Refused(
                "precision is that of per-sample estimates; with the batch estimator give a number \
                 of samples (`--max-samples`)"
                    .into(),
            ));
        }
        let most = own.len().min(self.options.samples.unwrap_or(usize::MAX));
        let order = own.deal(self.options.seed);
        let (mut features, mut logits) = (Vec::new(), Vec::new());
        let (mut done, mut next) = (0, FIRST.min(most));
        loop {
            let new = own.select(&order[done..next]);
            let captured = self.features.capture(model, &new, self.progress)?;
            features.extend(captured.features.into_values());
            logits.extend(captured.logits.into_values());
            done = next;
            let set = own.select(&order[..done]);
            let matrix = |values: &[f32]| {
                Matrix::new(done, values.len() / done.max(1), values.to_vec())
                    .map_err(|error| EngineError::Refused(error.to_string()))
            };
            let (h, z) = (matrix(&features)?, matrix(&logits)?);
            let (fisher, residuals) = self.head(model, &set, &h, &z)?;
            let precision = head_precision(
                h.view(),
                residuals.view(),
                set.labels(),
                &fisher,
                &own.counts(),
                DATA_FREE_ALPHA,
            )
            .map_err(EngineError::fisher(model.id(), &model.manifest.head))?;
            if precision.open <= open || done == most {
                let inner = if selected.inner.is_empty() {
                    Tensors::new()
                } else {
                    self.pass(model, &set, selected)?.inner
                };
                return Ok(Estimate {
                    set,
                    fisher,
                    precision: Some(precision),
                    inner,
                });
            }
            next = (done * 2).min(most);
        }
    }
}

/// Computes the cards of some models on their own training data and keeps each as soon as it is
/// done. A model that has a card of this estimator with these layers is passed over, unless it is
/// to be computed `again`. Returns the rows of the new cards.
///
/// # Errors
/// [`EngineError`]; cards that were finished before stay.
pub fn compute_cards(
    registry: &Registry,
    models: &[LoadedModel],
    train: &DataSet,
    options: &FisherOptions,
    features: &Features<'_>,
    again: bool,
    progress: &dyn Progress,
) -> Result<Vec<CardRow>, EngineError> {
    let maker = CardMaker {
        registry,
        options,
        features,
        progress,
    };
    let mut rows = Vec::new();
    for model in models {
        let kept = registry.card(model.digest, options.estimator)?;
        let selected = options.layers.of(model, features.runner())?;
        let enough = kept.is_some_and(|card| covers(card.header(), &selected));
        if enough && !again {
            continue;
        }
        check_logits(registry, model, train)?;
        let own = own_data(&model.vertex, train);
        if own.is_empty() {
            return Err(EngineError::NeedsData(format!(
                "`{}` was, by its provenance, trained on no sample of `{}`: give the data that it \
                 was trained on",
                model.id(),
                train.name()
            )));
        }
        let row = registry.put_card(&maker.make(model, &own)?)?;
        let detail = json!({
            "model": model.id(),
            "estimator": row.estimator,
            "layers": options.layers,
            "samples": options.samples,
            "precision": options.precision,
        });
        keep(registry, row.clone(), "fisher", detail)?;
        rows.push(row);
    }
    Ok(rows)
}

/// The largest part of the logits' range by which captured logits may differ from the head's own. A
/// head in half precision may have been captured before it was rounded.
fn tolerance(head: Option<Dtype>) -> f32 {
    match head {
        Some(Dtype::F16) => 1e-2,
        Some(Dtype::BF16) => 5e-2,
        _ => 1e-3,
    }
}

/// Where features came with the logits that were made of them: checks that the model's head makes
/// the same, so that they are features of this model and of this layer.
pub(crate) fn check_logits(
    registry: &Registry,
    model: &LoadedModel,
    set: &DataSet,
) -> Result<(), EngineError> {
    let Some(table) = set.features_of(model.id().name()) else {
        return Ok(());
    };
    if table.logits.is_empty() {
        return Ok(());
    }
    let wrap = |error| EngineError::fisher(model.id(), &model.manifest.head)(error);
    let (weight, bias) = model.head(registry)?;
    let features = MatrixRef::new(set.len(), table.width, &table.values).map_err(wrap)?;
    let made = linear(features, weight.view(), &bias).map_err(wrap)?;
    let range = made
        .values()
        .iter()
        .fold(1.0f32, |top, value| top.max(value.abs()));
    let pairs = made.values().iter().zip(&table.logits);
    let largest = pairs
        .map(|(own, told)| (own - told).abs())
        .fold(0.0, f32::max);
    let [weight, _] = model.head_tensors();
    let tolerance = tolerance(model.manifest.tensors.get(&weight).map(|t| t.dtype));
    if made.values().len() == table.logits.len() && largest <= tolerance * range {
        return Ok(());
    }
    Err(EngineError::Refused(format!(
        "the logits in `{}` are not those that the head `{}` of `{}` makes of the features there \
         (largest difference {largest}): capture what goes into that layer, from the weights that \
         were added; or leave the logits out",
        set.name(),
        model.manifest.head,
        model.id()
    )))
}

fn keep(
    registry: &Registry,
    row: CardRow,
    command: &str,
    detail: serde_json::Value,
) -> Result<(), EngineError> {
    registry.publish(&Publication {
        cards: vec![row],
        ..Publication::of(Operation {
            time: crate::now(),
            command: command.into(),
            detail,
        })
    })?;
    Ok(())
}

/// Whether a card holds all of these layers.
pub(crate) fn covers(header: &CardHeader, selected: &Selected) -> bool {
    selected
        .inner
        .iter()
        .all(|name| header.layers.contains(name))
}

/// Adds a card that was computed elsewhere. It must speak of a model of this registry: of the one
/// that is named, where one is.
///
/// # Errors
/// [`EngineError::Refused`] with the reason when it fits no model, or another one.
pub fn import_card(
    registry: &Registry,
    graph: &Umig,
    card: &FisherCard,
    model: Option<&ModelId>,
) -> Result<ModelId, EngineError> {
    let digests = registry.digests()?;
    let header = &card.header;
    let id = match model {
        Some(id) => {
            let own = digests.get(id);
            if own != Some(&header.model) {
                return Err(EngineError::Refused(format!(
                    "the card speaks of the model {}, `{id}` is {}",
                    header.model,
                    own.map(ToString::to_string).unwrap_or_default()
                )));
            }
            id.clone()
        }
        None => digests
            .iter()
            .find(|(_, digest)| **digest == header.model)
            .map(|(id, _)| id.clone())
            .ok_or_else(|| {
                EngineError::Refused(format!(
                    "the card speaks of the model {}, which is not in this registry; \
                     `disinherit show MODEL` tells a model's digest",
                    header.model
                ))
            })?,
    };
    let loaded = LoadedModel::open(registry, graph, &id)?;
    check_card(&loaded, header)?;
    check_values(&loaded, card)?;
    let row = registry.put_card(card)?;
    let detail = json!({"model": id, "estimator": row.estimator, "by": header.tool});
    keep(registry, row, "fisher import", detail)?;
    Ok(id)
}

/// Checks that a card fits its model: head and labels.
pub(crate) fn check_card(model: &LoadedModel, header: &CardHeader) -> Result<(), EngineError> {
    let refuse = |reason: String| {
        let text = format!("that of `{}` {reason}", model.id());
        Err(EngineError::Store(RegistryError::Card(text)))
    };
    let manifest = &model.manifest;
    if header.head != manifest.head {
        return refuse(format!(
            "is of a head `{}`, the model's is `{}`",
            header.head, manifest.head
        ));
    }
    if header.outputs != manifest.labels {
        return refuse(format!(
            "has the labels {}, the model {}",
            header.outputs.join(", "),
            manifest.labels.join(", ")
        ));
    }
    Ok(())
}

/// Checks that the tensors of a card have the shapes of the model's.
fn check_values(model: &LoadedModel, card: &FisherCard) -> Result<(), EngineError> {
    let [weight, bias] = model.head_tensors();
    let total = &card.fisher.total;
    let head = [(&weight, &total.weight), (&bias, &total.bias)];
    let parts = if model.has_bias() { 2 } else { 1 };
    for (name, fisher) in head.into_iter().take(parts).chain(&card.inner) {
        let own = model.manifest.tensors.get(name).map(|t| &t.shape[..]);
        if own != Some(fisher.shape()) {
            let found = own.map_or("no such tensor".into(), |shape| format!("{shape:?}"));
            return Err(EngineError::Store(RegistryError::Card(format!(
                "its FIM of `{name}` is {:?}, `{}` has {found}",
                fisher.shape(),
                model.id()
            ))));
        }
    }
    Ok(())
}
