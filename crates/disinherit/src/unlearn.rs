//! FIUn over a whole network: prepare what the request needs, mend every touched model in
//! parallel, publish all new versions at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use data::DataSet;
use fiun::{
    AlphaChoice, DATA_FREE_ALPHA, Dampening, HeadProblem, LayerFisher, Matrix, RowMatch, Scalar,
    Selection, Target, dampen, head_fisher, merge, search_alpha,
};
use half::{bf16, f16};
use nets::capture;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{
    CardRow, Digest, Dtype, FisherCard, ModelRow, NewModel, Operation, Publication, Registry,
    Tensor,
};
use umig::{Forget, Model, ModelId, Plan, Relation, Request, Role, Umig};

use crate::add::next_version;
use crate::error::suggest;
use crate::model::time_after;
use crate::{
    EngineError, FisherOptions, LoadedModel, Progress, Stage, forget_mask, make_card, own_data,
};

/// How the selection threshold is found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alpha {
    /// Per model: by trying values on cached features where there is data, by rule where not.
    Auto,
    /// The data-free rule, [`DATA_FREE_ALPHA`], for every model.
    Rule,
    /// This value for every model.
    Value(f64),
}

/// Whether FIMs are compared as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Each divided by the mean of its own model's FIM, so that one alpha serves a network.
    Common,
    /// As they are, as in the paper.
    Raw,
}

/// How to unlearn.
#[derive(Debug, Clone, PartialEq)]
pub struct UnlearnOptions {
    /// How the selection threshold is found.
    pub alpha: Alpha,
    /// The dampening constant.
    pub lambda: f64,
    /// Whether FIMs are compared as they are.
    pub scale: Scale,
    /// The divisor of a merged FIM (MFIM), at least 1.
    pub merge_scale: f64,
    /// What the choice of alpha aims at.
    pub target: Target,
    /// How Fisher information is computed where there is no card.
    pub fisher: FisherOptions,
    /// Models mended at the same time; 0 for one per core.
    pub jobs: usize,
    /// Compute everything, write nothing.
    pub dry_run: bool,
}

impl Default for UnlearnOptions {
    fn default() -> Self {
        Self {
            alpha: Alpha::Auto,
            lambda: 1.0,
            scale: Scale::Common,
            merge_scale: 1.0,
            target: Target::default(),
            fisher: FisherOptions::default(),
            jobs: 0,
            dry_run: false,
        }
    }
}

/// A request with everything that the edit needs: stage 1 of the plan is done.
pub struct Prepared {
    /// The plan.
    pub plan: Plan,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Touched models that had a FIM card.
    pub from_cards: usize,
    graph: Umig,
    ready: BTreeMap<ModelId, Ready>,
}

/// One touched model with its Fisher information.
struct Ready {
    model: LoadedModel,
    card: FisherCard,
    new_card: bool,
    /// On an initial model, the FIM of the forget data.
    forget: Option<LayerFisher>,
    evidence: Option<Evidence>,
}

/// Samples to try thresholds on, as the head sees them.
struct Evidence {
    features: Matrix,
    rows: Vec<u32>,
    is_forget: Vec<bool>,
}

/// What happened to one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelOutcome {
    /// The version that was touched.
    pub before: ModelId,
    /// The version that replaces it.
    pub after: ModelId,
    /// Its part in the request.
    pub role: Role,
    /// The initial models whose FIMs were merged.
    pub initial: BTreeSet<ModelId>,
    /// The digest before.
    pub digest_before: Digest,
    /// The digest after; nothing in a dry run.
    pub digest_after: Option<Digest>,
    /// The threshold.
    pub alpha: f64,
    /// What it was chosen from, where it was chosen from data.
    pub choice: Option<AlphaChoice>,
    /// What was done to each tensor.
    pub tensors: BTreeMap<String, Selection>,
    /// Labels of the model that no initial model has; their rows stayed as they were.
    pub unmatched: Vec<String>,
    /// Seconds for this model.
    pub seconds: f64,
}

impl ModelOutcome {
    /// All tensors together.
    pub fn selection(&self) -> Selection {
        self.tensors
            .values()
            .copied()
            .fold(Selection::default(), Selection::plus)
    }
}

/// A finished request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unlearned {
    /// The request's id.
    pub request: String,
    /// The operation's number in the log; nothing in a dry run.
    pub operation: Option<i64>,
    /// What happened to each model.
    pub models: Vec<ModelOutcome>,
    /// Seconds for stage 2 and publication.
    pub seconds: f64,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Plans a request and obtains the Fisher information that it needs: from cards where there are
/// any, from `train` otherwise. Nothing is written.
///
/// # Errors
/// [`EngineError`] when the request cannot be planned, names labels that nobody has, would leave a
/// model with nothing to retain, or needs data that was not given.
pub fn prepare(
    registry: &Registry,
    request: &Request,
    train: Option<&DataSet>,
    options: &UnlearnOptions,
    progress: &dyn Progress,
) -> Result<Prepared, EngineError> {
    let start = Instant::now();
    Dampening::new(1.0, options.lambda).map_err(|e| EngineError::Refused(e.to_string()))?;
    let graph = registry.graph()?;
    check_labels(&graph, &request.forget)?;
    let plan = graph.plan(request)?;
    let touched: Vec<&ModelId> = plan.scope.touched().collect();
    for id in &touched {
        if let Some(model) = graph.get(id) {
            check_remainder(model, &request.forget)?;
        }
    }
    let preparation = Preparation {
        registry,
        graph: &graph,
        plan: &plan,
        train,
        options,
        progress,
    };
    let ready = pool(options.jobs)?.install(|| {
        touched
            .par_iter()
            .map(|id| Ok(((*id).clone(), preparation.ready(id)?)))
            .collect::<Result<BTreeMap<ModelId, Ready>, EngineError>>()
    })?;
    Ok(Prepared {
        seconds: start.elapsed().as_secs_f64(),
        from_cards: ready.values().filter(|r| !r.new_card).count(),
        plan,
        graph,
        ready,
    })
}

/// Mends every touched model, each on its own and all in parallel, and publishes the new versions
/// in one transaction.
///
/// # Errors
/// [`EngineError`]; nothing is published then.
pub fn unlearn(
    registry: &Registry,
    prepared: &Prepared,
    options: &UnlearnOptions,
    progress: &dyn Progress,
) -> Result<Unlearned, EngineError> {
    let start = Instant::now();
    let request = request_id(prepared)?;
    let ids: BTreeMap<&ModelId, ModelId> = prepared
        .ready
        .keys()
        .map(|id| Ok((id, next_version(&prepared.graph, id.name())?)))
        .collect::<Result<_, EngineError>>()?;
    let stage = progress.stage("unlearning", prepared.ready.len() as u64);
    let edit = Edit {
        registry,
        prepared,
        options,
        ids: &ids,
        stage: stage.as_ref(),
    };
    let mended = pool(options.jobs)?.install(|| {
        prepared
            .ready
            .values()
            .collect::<Vec<_>>()
            .par_iter()
            .map(|ready| edit.mend(ready))
            .collect::<Result<Vec<ModelOutcome>, EngineError>>()
    })?;
    drop(stage);
    let mut done = Unlearned {
        request,
        operation: None,
        warnings: warnings(prepared, &mended, options),
        models: mended,
        seconds: 0.0,
    };
    if !options.dry_run {
        done.operation = Some(publish(registry, prepared, &ids, &done)?);
    }
    done.seconds = start.elapsed().as_secs_f64();
    Ok(done)
}

struct Preparation<'a> {
    registry: &'a Registry,
    graph: &'a Umig,
    plan: &'a Plan,
    train: Option<&'a DataSet>,
    options: &'a UnlearnOptions,
    progress: &'a dyn Progress,
}

impl Preparation<'_> {
    fn forget(&self) -> &Forget {
        &self.plan.request.forget
    }

    fn ready(&self, id: &ModelId) -> Result<Ready, EngineError> {
        let model = LoadedModel::open(self.registry, self.graph, id)?;
        let fisher = &self.options.fisher;
        let estimator = FisherCard::estimator_name(fisher.estimator);
        let kept = self.registry.card(model.digest, &estimator)?;
        let new_card = kept.is_none();
        let wants_evidence = self.options.alpha == Alpha::Auto && self.train.is_some();
        let mut evidence = None;
        let card = match kept {
            Some(card) if !wants_evidence => card,
            kept => {
                let own = self.own(&model)?;
                let set = fisher.subset(&own);
                let captured = self.capture(&model, &set)?;
                let card = match kept {
                    Some(card) => card,
                    None => make_card(&model, &set, &captured, fisher.estimator)?,
                };
                if wants_evidence {
                    evidence = Some(self.evidence(&model, &set, captured.features)?);
                }
                card
            }
        };
        check_head(self.registry, &model, &card)?;
        let is_initial = self.plan.scope.initial.contains(id);
        let forget = is_initial
            .then(|| self.forget_fisher(&model, &card))
            .transpose()?;
        Ok(Ready {
            model,
            card,
            new_card,
            forget,
            evidence,
        })
    }

    fn own(&self, model: &LoadedModel) -> Result<DataSet, EngineError> {
        let needs = |why: &str| {
            EngineError::NeedsData(format!(
                "`{}` {why}: give its training data (`--data`), or compute its FIM card first \
                 (`disinherit fisher {}`)",
                model.id(),
                model.id()
            ))
        };
        let train = self.train.ok_or_else(|| needs("has no FIM card"))?;
        let own = own_data(&model.vertex, train);
        if own.is_empty() {
            return Err(needs(
                "was, by its provenance, not trained on the data given",
            ));
        }
        Ok(own)
    }

    fn capture(&self, model: &LoadedModel, set: &DataSet) -> Result<nets::Capture, EngineError> {
        let stage = self
            .progress
            .stage(&format!("FIM of {}", model.id()), set.len() as u64);
        let network = model.network(self.registry, self.options.fisher.compute)?;
        capture(&network, set, &model.preprocessing, &mut |n| {
            stage.advance(n as u64)
        })
        .map_err(EngineError::net(model.id()))
    }

    /// The samples that the model's card was made from; where none of them is to be forgotten, the
    /// forget samples of the initial models that reach it are added.
    fn evidence(
        &self,
        model: &LoadedModel,
        set: &DataSet,
        features: Matrix,
    ) -> Result<Evidence, EngineError> {
        let is_forget = forget_mask(self.forget(), set, &model.vertex.training);
        let own = Evidence {
            rows: model.rows(set)?,
            features,
            is_forget,
        };
        if own.is_forget.contains(&true) {
            return Ok(own);
        }
        let mut more = own;
        for id in self
            .plan
            .scope
            .reached_by
            .get(model.id())
            .into_iter()
            .flatten()
        {
            let Some(vertex) = self.graph.get(id) else {
                continue;
            };
            let Some(forget) = self.forget_data(vertex) else {
                continue;
            };
            let forget = self.options.fisher.subset(&forget);
            let Ok(rows) = model.rows(&forget) else {
                continue;
            };
            let captured = self.capture(model, &forget)?;
            let mut values = more.features.into_values();
            values.extend_from_slice(captured.features.values());
            let cols = captured.features.cols();
            more.features = Matrix::new(values.len() / cols.max(1), cols, values)
                .map_err(EngineError::fisher(model.id(), &model.manifest.head))?;
            more.rows.extend(rows);
            more.is_forget.extend(vec![true; forget.len()]);
        }
        Ok(more)
    }

    /// A model's own training samples that are to be forgotten, if the data has any.
    fn forget_data(&self, vertex: &Model) -> Option<DataSet> {
        let own = own_data(vertex, self.train?);
        let mask = forget_mask(self.forget(), &own, &vertex.training);
        let picked: Vec<usize> = (0..own.len()).filter(|&i| mask[i]).collect();
        (!picked.is_empty()).then(|| own.select(&picked))
    }

    /// The FIM of the forget data on an initial model: for classes a slice of its card, for single
    /// samples and sources one pass over just those samples.
    fn forget_fisher(
        &self,
        model: &LoadedModel,
        card: &FisherCard,
    ) -> Result<LayerFisher, EngineError> {
        let wrap = EngineError::fisher(model.id(), &model.manifest.head);
        if let Forget::Classes(labels) = self.forget() {
            let classes: Vec<usize> = card
                .classes
                .iter()
                .enumerate()
                .filter(|(_, class)| labels.contains(*class))
                .map(|(index, _)| index)
                .collect();
            return card.fisher.of_classes(&classes).map_err(wrap);
        }
        let set = self.forget_data(&model.vertex).ok_or_else(|| {
            EngineError::NeedsData(format!(
                "forgetting {} needs those samples: give the data that `{}` was trained on (`--data`)",
                self.forget(),
                model.id()
            ))
        })?;
        let captured = self.capture(model, &set)?;
        let residuals = captured
            .residuals(&model.rows(&set)?)
            .map_err(EngineError::net(model.id()))?;
        let classes = set.label_names().len();
        let estimator = self.options.fisher.estimator;
        head_fisher(
            captured.features.view(),
            residuals.view(),
            set.labels(),
            classes,
            estimator,
        )
        .map(|fisher| fisher.total)
        .map_err(wrap)
    }
}

struct Edit<'a> {
    registry: &'a Registry,
    prepared: &'a Prepared,
    options: &'a UnlearnOptions,
    ids: &'a BTreeMap<&'a ModelId, ModelId>,
    stage: &'a dyn Stage,
}

impl Edit<'_> {
    fn mend(&self, ready: &Ready) -> Result<ModelOutcome, EngineError> {
        let start = Instant::now();
        let model = &ready.model;
        let id = model.id();
        let scope = &self.prepared.plan.scope;
        let initial = scope.reached_by.get(id).cloned().unwrap_or_default();
        let (forget, unmatched) = self.merged(ready, &initial)?;
        let own = self.scaled(ready.card.fisher.total.clone(), &ready.card);
        let (alpha, choice) = self.alpha(ready, &forget, &own)?;
        let dampening = Dampening::new(alpha, self.options.lambda)
            .map_err(EngineError::fisher(id, &model.manifest.head))?;
        let [weight_name, bias_name] = model.head_tensors();
        let mut tensors = BTreeMap::new();
        let mut changed = BTreeMap::new();
        for (name, forget, own) in [
            (weight_name, forget.weight.values(), own.weight.values()),
            (bias_name, &forget.bias[..], &own.bias[..]),
        ] {
            let mut tensor = model.tensor(self.registry, &name)?;
            let selection = dampen_tensor(&mut tensor, forget, own, dampening)
                .map_err(EngineError::fisher(id, &name))?;
            tensors.insert(name.clone(), selection);
            changed.insert(name, tensor);
        }
        let digest_after = if self.options.dry_run {
            None
        } else {
            Some(self.registry.put_model(model.manifest.clone(), changed)?)
        };
        self.stage.advance(1);
        Ok(ModelOutcome {
            before: id.clone(),
            after: self.ids.get(id).cloned().unwrap_or_else(|| id.clone()),
            role: scope.role(id),
            initial,
            digest_before: model.digest,
            digest_after,
            alpha,
            choice,
            tensors,
            unmatched,
            seconds: start.elapsed().as_secs_f64(),
        })
    }

    /// The FIMs of the forget data that reach a model, rows put where its own labels are, merged.
    fn merged(
        &self,
        ready: &Ready,
        initial: &BTreeSet<ModelId>,
    ) -> Result<(LayerFisher, Vec<String>), EngineError> {
        let wrap = EngineError::fisher(ready.model.id(), &ready.model.manifest.head);
        let own = &ready.card;
        let mut parts = Vec::new();
        let mut unmatched: Option<BTreeSet<String>> = None;
        for source in initial.iter().filter_map(|id| self.prepared.ready.get(id)) {
            let Some(forget) = &source.forget else {
                continue;
            };
            let rows = RowMatch::new(
                &own.outputs,
                own.fisher.total.bias.len(),
                &source.card.outputs,
                forget.bias.len(),
            );
            let matched = rows.and_then(|rows| {
                let missing: BTreeSet<String> = rows.only_in_target.iter().cloned().collect();
                unmatched = Some(match unmatched.take() {
                    None => missing,
                    Some(before) => before.intersection(&missing).cloned().collect(),
                });
                self.scaled(forget.clone(), &source.card).matched(&rows)
            });
            match matched {
                Ok(part) => parts.push(part),
                Err(error) => return Err(wrap(error)),
            }
        }
        let parts: Vec<&LayerFisher> = parts.iter().collect();
        let merged = merge(&parts, self.options.merge_scale).map_err(wrap)?;
        Ok((merged, unmatched.unwrap_or_default().into_iter().collect()))
    }

    /// A FIM on the scale of the comparison: divided by the mean of its own model's FIM, or raw.
    fn scaled(&self, fisher: LayerFisher, card: &FisherCard) -> LayerFisher {
        match self.options.scale {
            Scale::Common => fisher.rescaled(card.fisher.total.mean()),
            Scale::Raw => fisher,
        }
    }

    fn alpha(
        &self,
        ready: &Ready,
        forget: &LayerFisher,
        own: &LayerFisher,
    ) -> Result<(f64, Option<AlphaChoice>), EngineError> {
        let rule = || {
            match self.options.scale {
            Scale::Common => Ok((DATA_FREE_ALPHA, None)),
            Scale::Raw => Err(EngineError::NeedsData(
                "there is no rule for alpha on raw FIMs: give data (`--data`) or a value (`--alpha`)"
                    .into(),
            )),
        }
        };
        match (self.options.alpha, &ready.evidence) {
            (Alpha::Value(alpha), _) => Ok((alpha, None)),
            (Alpha::Rule, _) | (Alpha::Auto, None) => rule(),
            (Alpha::Auto, Some(evidence)) => {
                let usable =
                    evidence.is_forget.contains(&true) && evidence.is_forget.contains(&false);
                if !usable {
                    return rule();
                }
                let (weight, bias) = ready.model.head(self.registry)?;
                let problem = HeadProblem {
                    weight: weight.view(),
                    bias: &bias,
                    forget,
                    own,
                    features: evidence.features.view(),
                    labels: &evidence.rows,
                    is_forget: &evidence.is_forget,
                    lambda: self.options.lambda,
                };
                let choice = search_alpha(problem, self.options.target).map_err(
                    EngineError::fisher(ready.model.id(), &ready.model.manifest.head),
                )?;
                Ok((choice.alpha, Some(choice)))
            }
        }
    }
}

fn dampen_tensor(
    tensor: &mut Tensor,
    forget: &[f32],
    own: &[f32],
    dampening: Dampening,
) -> Result<Selection, fiun::FisherError> {
    fn typed<T: Scalar + bytemuck::Pod>(
        bytes: &mut Vec<u8>,
        forget: &[f32],
        own: &[f32],
        dampening: Dampening,
    ) -> Result<Selection, fiun::FisherError> {
        let mut values: Vec<T> = bytemuck::pod_collect_to_vec(bytes);
        let selection = dampen(&mut values, forget, own, dampening)?;
        *bytes = bytemuck::cast_slice(&values).to_vec();
        Ok(selection)
    }
    let bytes = &mut tensor.bytes;
    match tensor.dtype {
        Dtype::F32 => typed::<f32>(bytes, forget, own, dampening),
        Dtype::F16 => typed::<f16>(bytes, forget, own, dampening),
        Dtype::BF16 => typed::<bf16>(bytes, forget, own, dampening),
        other => Err(fiun::FisherError::Shape {
            what: "the tensor",
            found: format!("elements of type {other:?}"),
            expected: "F32, F16 or BF16".into(),
        }),
    }
}

fn check_labels(graph: &Umig, forget: &Forget) -> Result<(), EngineError> {
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

fn check_remainder(model: &Model, forget: &Forget) -> Result<(), EngineError> {
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

fn check_head(
    registry: &Registry,
    model: &LoadedModel,
    card: &FisherCard,
) -> Result<(), EngineError> {
    let (weight, bias) = model.head(registry)?;
    let total = &card.fisher.total;
    let fits = (weight.rows(), weight.cols(), bias.len())
        == (total.weight.rows(), total.weight.cols(), total.bias.len());
    if fits {
        return Ok(());
    }
    Err(EngineError::Fisher {
        model: model.id().clone(),
        tensor: model.manifest.head.clone(),
        source: fiun::FisherError::Shape {
            what: "the FIM card",
            found: format!("a head of {}x{}", total.weight.rows(), total.weight.cols()),
            expected: format!("{}x{}", weight.rows(), weight.cols()),
        },
    })
}

fn warnings(prepared: &Prepared, mended: &[ModelOutcome], options: &UnlearnOptions) -> Vec<String> {
    let mut list = Vec::new();
    for outcome in mended {
        let id = &outcome.before;
        let dampening = Dampening::new(outcome.alpha, options.lambda).ok();
        list.extend(
            dampening
                .and_then(Dampening::warning)
                .map(|w| format!("{id}: {w}")),
        );
        if outcome
            .choice
            .as_ref()
            .is_some_and(|choice| !choice.reached)
        {
            list.push(format!(
                "{id}: no alpha meets the target; the nearest one, {:.3}, was taken",
                outcome.alpha
            ));
        }
        if outcome.selection().selected == 0 {
            list.push(format!(
                "{id}: nothing was selected, the model is unchanged; lower alpha"
            ));
        }
        if !outcome.unmatched.is_empty() {
            list.push(format!(
                "{id}: rows without a counterpart in the forget FIM stayed as they were: {}",
                outcome.unmatched.join(", ")
            ));
        }
        if let Forget::Classes(classes) = &prepared.plan.request.forget {
            let labels = prepared
                .graph
                .get(id)
                .map(|model| &model.labels[..])
                .unwrap_or_default();
            let missing: Vec<&str> = classes
                .iter()
                .filter(|c| !labels.contains(c))
                .map(String::as_str)
                .collect();
            if !labels.is_empty() && !missing.is_empty() {
                list.push(format!("{id}: has no output for {}", missing.join(", ")));
            }
        }
    }
    list
}

/// A name for the request that depends on what is asked and of whom, not on when.
fn request_id(prepared: &Prepared) -> Result<String, EngineError> {
    let digests: Vec<Digest> = prepared
        .ready
        .values()
        .map(|ready| ready.model.digest)
        .collect();
    let text = serde_json::to_string(&(&prepared.plan.request, digests))
        .map_err(|error| EngineError::Refused(error.to_string()))?;
    Ok(format!(
        "request-{}",
        &Digest::of(text.as_bytes()).to_string()[..12]
    ))
}

/// All new versions with their edges, in one transaction. A new version inherits from the new
/// versions of its parents where those were touched too, and from the version that it replaces.
fn publish(
    registry: &Registry,
    prepared: &Prepared,
    ids: &BTreeMap<&ModelId, ModelId>,
    done: &Unlearned,
) -> Result<i64, EngineError> {
    let forget = &prepared.plan.request.forget;
    let graph = &prepared.graph;
    let by_id: BTreeMap<&ModelId, &ModelOutcome> = done
        .models
        .iter()
        .map(|outcome| (&outcome.before, outcome))
        .collect();
    let old: Vec<ModelId> = ids.keys().map(|id| (*id).clone()).collect();
    let time = time_after(graph, &old);
    let mut models = Vec::new();
    for id in graph.ordered() {
        let (Some(outcome), Some(vertex)) = (by_id.get(id), graph.get(id)) else {
            continue;
        };
        let Some(manifest) = outcome.digest_after else {
            continue;
        };
        let mut parents: Vec<(ModelId, Relation)> = graph
            .parents(id)
            .into_iter()
            .filter(|(_, relation)| !matches!(relation, Relation::UnlearnedFrom { .. }))
            .map(|(parent, relation)| (ids.get(parent).unwrap_or(parent).clone(), relation.clone()))
            .collect();
        let from = Relation::UnlearnedFrom {
            request: done.request.clone(),
        };
        parents.push((id.clone(), from));
        let vertex = Model {
            id: outcome.after.clone(),
            time,
            training: vertex
                .training
                .iter()
                .filter_map(|t| forget.remainder(t))
                .collect(),
            ..vertex.clone()
        };
        models.push(NewModel {
            row: ModelRow { vertex, manifest },
            parents,
        });
    }
    let cards: Vec<CardRow> = prepared
        .ready
        .values()
        .filter(|ready| ready.new_card)
        .map(|ready| registry.put_card(&ready.card))
        .collect::<Result<_, _>>()?;
    Ok(registry.publish(&Publication {
        models,
        superseded: old,
        cards,
        operation: Operation {
            time: crate::now(),
            command: "unlearn".into(),
            detail: json!({
                "id": done.request,
                "request": prepared.plan.request,
                "models": done.models,
                "warnings": done.warnings,
            }),
        },
    })?)
}

pub(crate) fn pool(jobs: usize) -> Result<rayon::ThreadPool, EngineError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(jobs)
        .build()
        .map_err(|error| EngineError::Refused(format!("cannot start {jobs} threads: {error}")))
}
