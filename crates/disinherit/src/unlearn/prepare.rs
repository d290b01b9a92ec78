//! Stage 1: the Fisher information of every touched model.

use std::collections::{BTreeMap, BTreeSet};

use disinherit_data::{DataSet, Splits};
use disinherit_registry::{CardReader, CardRow, FisherCard, Registry};
use fiun::{FisherTensor, LayerFisher};
use umig::{Forget, Model, ModelId, Plan, Relation, Umig};

use super::UnlearnOptions;
use crate::FisherOptions;
use crate::draft::Drafts;
use crate::error::suggest;
use crate::fisher::{CardMaker, Tensors, check_card, check_logits, covers};
use crate::layers::Selected;
use crate::{EngineError, Features, LoadedModel, Progress, forget_mask, own_data};

/// The task of computing a card.
const CARD: &str = "card";

/// What the registry has of one touched model.
pub(super) struct Loaded {
    model: LoadedModel,
    selected: Selected,
    /// A card that holds the selected layers.
    card: Option<CardReader>,
}

/// One touched model with where its Fisher information is.
pub(super) struct Ready {
    pub(super) model: LoadedModel,
    pub(super) selected: Selected,
    pub(super) card: CardUse,
    /// On an initial model, the FIM of the forget data.
    pub(super) forget: Option<ForgetFisher>,
}

/// The FIM of the forget data on an initial model.
pub(super) struct ForgetFisher {
    pub(super) head: LayerFisher,
    pub(super) inner: Tensors,
    /// The mean of the model's own FIM over the selected tensors.
    pub(super) scale: f64,
}

/// The card that a model is edited by.
pub(super) struct CardUse {
    pub(super) reader: CardReader,
    /// Computed just now, and still to be published.
    pub(super) row: Option<CardRow>,
    /// Computed just now; in a dry run there is no row.
    pub(super) new: bool,
    /// The name of the draft that keeps it until then.
    pub(super) draft: Option<String>,
    /// Of the version before, less the classes forgotten since.
    pub(super) stand_in: Option<StandIn>,
}

/// The version whose card stands in, and the classes to leave out.
pub(super) struct StandIn {
    pub(super) of: ModelId,
    without: Vec<usize>,
}

impl CardUse {
    /// The model's own FIM of its selected tensors, and the mean of all their entries.
    pub(super) fn own(
        &self,
        registry: &Registry,
        model: &LoadedModel,
        selected: &Selected,
    ) -> Result<(Tensors, f64), EngineError> {
        let wrap = EngineError::fisher(model.id(), &model.manifest.head);
        let total = match &self.stand_in {
            None => self.reader.total(registry)?,
            Some(stand_in) => self
                .reader
                .head(registry)?
                .without_classes(&stand_in.without)
                .map_err(wrap)?,
        };
        let [weight, bias] = model.head_tensors();
        let mut tensors = Tensors::new();
        if selected.head[0] {
            tensors.insert(weight, total.weight);
        }
        if selected.head[1] {
            tensors.insert(bias, total.bias);
        }
        if !selected.inner.is_empty() {
            let inner = self.reader.inner(registry)?;
            let wanted = |name: &String| selected.inner.contains(name);
            tensors.extend(inner.into_iter().filter(|(name, _)| wanted(name)));
        }
        let count: usize = tensors.values().map(FisherTensor::len).sum();
        let sum: f64 = tensors.values().map(FisherTensor::sum).sum();
        Ok((tensors, sum / count.max(1) as f64))
    }
}

/// What stages 1 and 2 work with.
pub(super) struct Preparation<'a> {
    pub(super) registry: &'a Registry,
    pub(super) graph: &'a Umig,
    pub(super) plan: &'a Plan,
    pub(super) data: Option<&'a Splits>,
    pub(super) options: &'a UnlearnOptions,
    pub(super) features: &'a Features<'a>,
    pub(super) progress: &'a dyn Progress,
}

impl Preparation<'_> {
    pub(super) fn forget(&self) -> &Forget {
        &self.plan.request.forget
    }

    /// What the registry has of a model. Refuses one whose Fisher information is nowhere to be had,
    /// before any is computed.
    pub(super) fn load(&self, id: &ModelId) -> Result<Loaded, EngineError> {
        let model = LoadedModel::open(self.registry, self.graph, id)?;
        let selected = self
            .options
            .fisher
            .layers
            .of(&model, self.features.runner())?;
        let estimator = self.options.fisher.estimator;
        let kept = self.registry.card(model.digest, estimator)?;
        let loaded = Loaded {
            card: kept.filter(|card| covers(card.header(), &selected)),
            model,
            selected,
        };
        if let Some(card) = &loaded.card {
            check_card(&loaded.model, card.header())?;
        } else if let Err(needed) = self.own(&loaded.model) {
            self.stand_in(&loaded)?.ok_or(needed)?;
        }
        Ok(loaded)
    }

    fn stand_in(&self, loaded: &Loaded) -> Result<Option<(CardReader, StandIn)>, EngineError> {
        if !loaded.selected.inner.is_empty() {
            return Ok(None);
        }
        stand_in(self.registry, self.graph, &loaded.model, self.options)
    }

    /// One touched model with everything that its edit needs.
    pub(super) fn ready(&self, loaded: Loaded) -> Result<Ready, EngineError> {
        let card = self.card(&loaded)?;
        let Loaded {
            model, selected, ..
        } = loaded;
        let initial = self.plan.scope.initial.contains(model.id());
        let forget = initial
            .then(|| self.forget_fisher(&model, &card, &selected))
            .transpose()?;
        Ok(Ready {
            model,
            selected,
            card,
            forget,
        })
    }

    fn maker(&self) -> CardMaker<'_> {
        CardMaker {
            registry: self.registry,
            options: &self.options.fisher,
            features: self.features,
            progress: self.progress,
        }
    }

    fn make(&self, loaded: &Loaded, own: &DataSet) -> Result<FisherCard, EngineError> {
        // First what says whose features they are: those of others make other logits anyway.
        let card = self.maker().make(&loaded.model, own)?;
        check_logits(self.registry, &loaded.model, own)?;
        Ok(card)
    }

    fn card(&self, loaded: &Loaded) -> Result<CardUse, EngineError> {
        let kept = |reader, stand_in| CardUse {
            reader,
            row: None,
            new: false,
            draft: None,
            stand_in,
        };
        if let Some(reader) = &loaded.card {
            return Ok(kept(reader.clone(), None));
        }
        let own = match self.own(&loaded.model) {
            Ok(own) => own,
            Err(needed) => {
                let (reader, stand_in) = self.stand_in(loaded)?.ok_or(needed)?;
                return Ok(kept(reader, Some(stand_in)));
            }
        };
        if self.options.dry_run {
            let card = self.make(loaded, &own)?;
            return Ok(CardUse {
                new: true,
                ..kept(CardReader::from(card), None)
            });
        }
        // A run of this request that was stopped may have computed it.
        let settings = FisherOptions {
            layers: crate::Layers::Head,
            ..self.options.fisher.clone()
        };
        let name = format!("card {}", loaded.model.digest);
        let drafts = Drafts::open(self.registry, &name, &(settings, own.digest()))?;
        let finished = drafts.get::<CardRow>(CARD).and_then(|row| {
            let reader = self.registry.card_of(&row).ok()?;
            covers(reader.header(), &loaded.selected).then_some((row, reader))
        });
        let (row, reader) = match finished {
            Some(finished) => finished,
            None => {
                let card = self.make(loaded, &own)?;
                let row = self.registry.put_card(&card)?;
                drafts.keep([(CARD.to_owned(), &row, vec![row.blob])])?;
                let reader = self.registry.card_of(&row)?;
                (row, reader)
            }
        };
        Ok(CardUse {
            reader,
            row: Some(row),
            new: true,
            draft: Some(drafts.name),
            stand_in: None,
        })
    }

    /// The samples that a model was trained on itself.
    pub(super) fn own(&self, model: &LoadedModel) -> Result<DataSet, EngineError> {
        let needs = |why: &str| {
            let layers = &self.options.fisher.layers;
            let with = match layers {
                crate::Layers::Head => String::new(),
                layers => format!(" --layers {layers}"),
            };
            EngineError::NeedsData(format!(
                "`{}` {why}: give its training data (`--data`), or compute its FIM card first \
                 (`disinherit fisher {}{with}`)",
                model.id(),
                model.id()
            ))
        };
        let data = self
            .data
            .ok_or_else(|| needs("has no FIM card for these layers"))?;
        let own = own_data(&model.vertex, &data.train);
        if own.is_empty() {
            return Err(needs(
                "was, by its provenance, not trained on the data given",
            ));
        }
        Ok(own)
    }

    /// A model's own training samples that are to be forgotten, if the data has any.
    pub(super) fn forget_data(&self, vertex: &Model) -> Option<DataSet> {
        let own = own_data(vertex, &self.data?.train);
        let mask = forget_mask(self.forget(), &own, &vertex.training);
        let picked: Vec<usize> = (0..own.len()).filter(|&i| mask[i]).collect();
        (!picked.is_empty()).then(|| own.select(&picked))
    }

    /// The FIM of the forget data on an initial model: of the head for classes a slice of its card,
    /// otherwise one pass over just those samples.
    fn forget_fisher(
        &self,
        model: &LoadedModel,
        card: &CardUse,
        selected: &Selected,
    ) -> Result<ForgetFisher, EngineError> {
        let wrap = EngineError::fisher(model.id(), &model.manifest.head);
        let scale = card.own(self.registry, model, selected)?.1;
        let of_classes = match self.forget() {
            Forget::Classes(labels) => {
                let classes: Vec<usize> = card
                    .reader
                    .header()
                    .classes
                    .iter()
                    .enumerate()
                    .filter(|(_, class)| labels.contains(*class))
                    .map(|(index, _)| index)
                    .collect();
                let head = card.reader.head(self.registry)?;
                Some(head.of_classes(&classes).map_err(wrap)?)
            }
            _ => None,
        };
        if let (Some(head), true) = (&of_classes, selected.inner.is_empty()) {
            return Ok(ForgetFisher {
                head: head.clone(),
                inner: Tensors::new(),
                scale,
            });
        }
        let set = self.forget_data(&model.vertex).ok_or_else(|| {
            EngineError::NeedsData(format!(
                "forgetting {} in these layers needs those samples: give the data that `{}` was \
                 trained on (`--data`)",
                self.forget(),
                model.id()
            ))
        })?;
        let (head, inner) = self.maker().total(model, &set, selected)?;
        Ok(ForgetFisher {
            head: of_classes.unwrap_or(head),
            inner,
            scale,
        })
    }
}

/// For a version that unlearning made and that has no card of its own: the card of the version
/// that it replaced, where all that was forgotten since are classes. The head has changed in
/// between, so it is a stand-in, not the real thing.
fn stand_in(
    registry: &Registry,
    graph: &Umig,
    model: &LoadedModel,
    options: &UnlearnOptions,
) -> Result<Option<(CardReader, StandIn)>, EngineError> {
    let before = graph
        .parents(model.id())
        .into_iter()
        .find(|(_, relation)| matches!(relation, Relation::UnlearnedFrom { .. }))
        .and_then(|(id, _)| graph.get(id));
    let Some(before) = before else {
        return Ok(None);
    };
    let Some(digest) = registry.digest(&before.id)? else {
        return Ok(None);
    };
    let Some(reader) = registry.card(digest, options.fisher.estimator)? else {
        return Ok(None);
    };
    let header = reader.header();
    let (then, now) = (&before.training, &model.vertex.training);
    let samples = |list: &[umig::Training]| -> Vec<umig::SampleSet> {
        list.iter().map(|t| t.samples.clone()).collect()
    };
    // A training that is gone altogether, or samples that are: the card has them in it for good.
    let only_classes = then.len() == now.len() && samples(then) == samples(now);
    let still: BTreeSet<&String> = now.iter().flat_map(|t| &t.labels).collect();
    let without: Vec<usize> = (0..header.classes.len())
        .filter(|&class| header.counts[class] > 0 && !still.contains(&header.classes[class]))
        .collect();
    let fits = only_classes && !without.is_empty() && header.outputs == model.manifest.labels;
    Ok(fits.then(|| {
        let stand_in = StandIn {
            of: before.id.clone(),
            without,
        };
        (reader, stand_in)
    }))
}

/// What a plan will read.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Needs {
    /// Touched models without a card for these layers: their training data is needed.
    pub training_data: Vec<ModelId>,
    /// Initial models that the forget data must be run through.
    pub forget_data: Vec<ModelId>,
    /// Models for which the card of the version before stands in, and that version.
    pub stand_ins: BTreeMap<ModelId, ModelId>,
}

/// Says what a plan will read: nothing but cards, the forget data, or training data too.
///
/// # Errors
/// [`EngineError`].
pub fn needs(
    registry: &Registry,
    plan: &Plan,
    options: &UnlearnOptions,
) -> Result<Needs, EngineError> {
    let graph = registry.graph()?;
    let class_request = matches!(plan.request.forget, Forget::Classes(_));
    let mut needs = Needs::default();
    for id in plan.scope.touched() {
        let model = LoadedModel::open(registry, &graph, id)?;
        let selected = options.fisher.layers.of(&model, None)?;
        let card = registry.card(model.digest, options.fisher.estimator)?;
        if !card.is_some_and(|card| covers(card.header(), &selected)) {
            match stand_in(registry, &graph, &model, options)? {
                Some((_, stand_in)) if selected.inner.is_empty() => {
                    needs.stand_ins.insert(id.clone(), stand_in.of);
                }
                _ => needs.training_data.push(id.clone()),
            }
        }
        let from_card = class_request && selected.inner.is_empty();
        if plan.scope.initial.contains(id) && !from_card {
            needs.forget_data.push(id.clone());
        }
    }
    Ok(needs)
}

/// Refuses labels that no model has.
pub(crate) fn check_labels(graph: &Umig, forget: &Forget) -> Result<(), EngineError> {
    let Forget::Classes(labels) = forget else {
        return Ok(());
    };
    let known: BTreeSet<&str> = graph
        .models()
        .flat_map(|model| model.labels.iter().map(String::as_str))
        .collect();
    for label in labels {
        if !known.is_empty() && !known.contains(label.as_str()) {
            let hint = suggest(label, known.iter().copied());
            let list: Vec<&str> = known.iter().take(20).copied().collect();
            return Err(EngineError::UnknownLabel {
                label: label.clone(),
                hint: format!("{hint}; the models' labels are {}", list.join(", ")),
            });
        }
    }
    Ok(())
}

/// Refuses to empty a model: one that was trained on nothing but the forget data.
pub(crate) fn check_remainder(model: &Model, forget: &Forget) -> Result<(), EngineError> {
    let emptied = !model.training.is_empty()
        && model
            .training
            .iter()
            .all(|training| forget.remainder(training).is_none());
    let labels_gone = match forget {
        Forget::Classes(gone) => {
            !model.labels.is_empty() && model.labels.iter().all(|label| gone.contains(label))
        }
        _ => false,
    };
    if emptied || labels_gone {
        return Err(EngineError::NothingRetained(format!(
            "`{}` was itself trained on nothing but {forget}; take it out of use instead of \
             unlearning",
            model.id
        )));
    }
    Ok(())
}
