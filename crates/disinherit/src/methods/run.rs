//! A method over every model that a request touches.

use std::collections::{BTreeMap, BTreeSet};

use disinherit_data::Splits;
use disinherit_formats::{Dtype, Tensor};
use disinherit_nets::{Compute, StateDict};
use disinherit_registry::{Digest, Registry};
use fiun::Selection;
use half::{bf16, f16};
use umig::{Forget, ModelId, Plan, Relation, Request, Umig};

use super::subject::{Subject, Subjects, minus, plus};
use super::tuned::Tuned;
use super::{Method, Settings};
use crate::add::next_version;
use crate::cost::{Cost, Meter};
use crate::draft::Drafts;
use crate::lesson::{Ancestor, Course, Lesson};
use crate::model::to_state;
use crate::unlearn::{
    Publishing, check_labels, check_remainder, prepare, publish, request_id, unlearn_keeping,
};
use crate::{
    Alpha, EngineError, Features, LoadedModel, ModelOutcome, Progress, Scale, UnlearnOptions,
    Unlearned,
};

/// A request to a method.
pub struct Trial<'a> {
    /// The registry.
    pub registry: &'a Registry,
    /// What is asked, of whom.
    pub request: &'a Request,
    /// The method.
    pub method: Method,
    /// The data; FIUn and masking can do without.
    pub splits: Option<&'a Splits>,
    /// The method's hyperparameters, where it trains.
    pub settings: &'a Settings,
    /// The method's settings, where it dampens; whether to publish.
    pub unlearn: &'a UnlearnOptions,
    /// How each model is trained, for retraining.
    pub lessons: &'a dyn Fn(&ModelId) -> Result<Lesson, EngineError>,
    /// Where networks run.
    pub compute: Compute,
    /// Features of the registry's models.
    pub features: &'a Features<'a>,
}

/// What a method made.
pub struct Mended {
    /// What happened to each model.
    pub unlearned: Unlearned,
    /// The new weights.
    pub states: BTreeMap<ModelId, StateDict>,
    /// What it cost.
    pub cost: Cost,
    /// What it cost up to the point where models are mended: Fisher information.
    pub preparation: Cost,
}

/// Makes every touched model forget by some method, and publishes the new versions in one
/// transaction unless it is a dry run.
///
/// # Errors
/// [`EngineError`]; nothing is published then.
pub fn run_method(trial: &Trial<'_>, progress: &dyn Progress) -> Result<Mended, EngineError> {
    match trial.method {
        Method::Fiun => dampened(trial, trial.unlearn, progress),
        Method::Ssd => {
            let alpha = match trial.unlearn.alpha {
                Alpha::Auto | Alpha::Rule => 10.0,
                Alpha::Value(alpha) => alpha,
            };
            let options = UnlearnOptions {
                alpha: Alpha::Value(alpha),
                scale: Scale::Raw,
                own_forget: true,
                lower: false,
                ..trial.unlearn.clone()
            };
            dampened(trial, &options, progress)
        }
        _ => trained(trial, progress),
    }
}

fn dampened(
    trial: &Trial<'_>,
    options: &UnlearnOptions,
    progress: &dyn Progress,
) -> Result<Mended, EngineError> {
    let meter = Meter::start(trial.registry);
    let first = Meter::start(trial.registry);
    let prepared = prepare(
        trial.registry,
        trial.request,
        trial.splits,
        options,
        trial.features,
        progress,
    )?;
    let preparation = first.stop();
    let mut changed: BTreeMap<ModelId, BTreeMap<String, Tensor>> = BTreeMap::new();
    let mut keep = |id: &ModelId, tensors: &BTreeMap<String, Tensor>| {
        changed.insert(id.clone(), tensors.clone());
    };
    let mut unlearned = unlearn_keeping(trial.registry, &prepared, options, progress, &mut keep)?;
    let mut cost = meter.stop();
    if options.dry_run {
        cost.bytes_written += changed.values().map(size).sum::<u64>();
    }
    unlearned.method = trial.method;
    let graph = trial.registry.graph()?;
    let mut states = BTreeMap::new();
    for (id, tensors) in changed {
        let mut state = LoadedModel::open(trial.registry, &graph, &id)?.state(trial.registry)?;
        state.extend(to_state(&tensors));
        states.insert(id, state);
    }
    Ok(Mended {
        unlearned,
        states,
        cost,
        preparation,
    })
}

fn trained(trial: &Trial<'_>, progress: &dyn Progress) -> Result<Mended, EngineError> {
    let meter = Meter::start(trial.registry);
    let method = trial.method;
    let graph = trial.registry.graph()?;
    let forget = &trial.request.forget;
    check_labels(&graph, forget)?;
    if method.serves_classes_only() && !matches!(forget, Forget::Classes(_)) {
        return Err(EngineError::Refused(format!(
            "`{method}` serves whole classes only, not {forget}"
        )));
    }
    let plan = graph.plan(trial.request)?;
    for id in plan.scope.touched() {
        if let Some(model) = graph.get(id) {
            check_remainder(model, forget)?;
        }
    }
    let splits = trial.splits.ok_or_else(|| {
        EngineError::NeedsData(format!(
            "`{method}` works on training data: give it with `--data`"
        ))
    })?;
    let digests = plan
        .scope
        .touched()
        .map(|id| Ok(LoadedModel::open(trial.registry, &graph, id)?.digest))
        .collect::<Result<Vec<_>, EngineError>>()?;
    let request = request_id(trial.request, method, &digests)?;
    let data = (splits.train.digest(), splits.heldout.digest());
    let work = Work {
        trial,
        graph: &graph,
        plan: &plan,
        splits,
        progress,
        drafts: Drafts::open(trial.registry, &request, &(trial.settings, data))?,
        request,
    };
    let states = match method {
        Method::Retrain => work.retrained()?,
        Method::GradientAscent => work.ascended()?,
        _ => work.one_by_one()?,
    };
    let (unlearned, cost) = work.published(&states, meter)?;
    Ok(Mended {
        unlearned,
        states: states
            .into_iter()
            .map(|(id, (state, _))| (id, state))
            .collect(),
        cost,
        preparation: Cost::default(),
    })
}

/// New weights and the seconds that they took.
type States = BTreeMap<ModelId, (StateDict, f64)>;

struct Work<'a> {
    trial: &'a Trial<'a>,
    graph: &'a Umig,
    plan: &'a Plan,
    splits: &'a Splits,
    progress: &'a dyn Progress,
    /// The request's id.
    request: String,
    drafts: Drafts<'a>,
}

impl Work<'_> {
    /// The new weights of one model: those that a run that was stopped has made, or new ones.
    fn task(
        &self,
        id: &ModelId,
        run: impl FnOnce() -> Result<StateDict, EngineError>,
    ) -> Result<(StateDict, f64), EngineError> {
        let registry = self.trial.registry;
        let keeps = !self.trial.unlearn.dry_run;
        let task = id.to_string();
        if let Some((digest, seconds)) = self.drafts.get::<(Digest, f64)>(&task).filter(|_| keeps) {
            let manifest = registry.manifest(digest)?;
            return Ok((to_state(&registry.tensors(&manifest)?), seconds));
        }
        let start = std::time::Instant::now();
        let state = run()?;
        let seconds = start.elapsed().as_secs_f64();
        if keeps {
            let model = LoadedModel::open(registry, self.graph, id)?;
            let (changed, _) = changed(registry, &model, &state)?;
            let digest = registry.put_model(model.manifest, changed)?;
            self.drafts
                .keep([(task, (digest, seconds), vec![digest])])?;
        }
        Ok((state, seconds))
    }

    /// The touched models, parents before children.
    fn ordered(&self) -> Vec<ModelId> {
        let touched: BTreeSet<&ModelId> = self.plan.scope.touched().collect();
        let ordered = self.graph.ordered().into_iter();
        ordered.filter(|id| touched.contains(id)).cloned().collect()
    }

    fn subject(&self, id: &ModelId) -> Result<Subject, EngineError> {
        Subjects {
            registry: self.trial.registry,
            graph: self.graph,
            scope: &self.plan.scope,
            forget: &self.trial.request.forget,
            splits: self.splits,
            method: self.trial.method,
        }
        .get(id)
    }

    fn tuned<'b>(&'b self, subject: &'b Subject) -> Tuned<'b> {
        Tuned {
            method: self.trial.method,
            settings: self.trial.settings,
            compute: self.trial.compute,
            subject,
            progress: self.progress,
        }
    }

    fn one_by_one(&self) -> Result<States, EngineError> {
        let mut states = States::new();
        for id in self.ordered() {
            let done = self.task(&id, || {
                let subject = self.subject(&id)?;
                self.tuned(&subject).run()
            })?;
            states.insert(id, done);
        }
        Ok(states)
    }

    /// Ascent at the initial models; every heir adds the differences of those that reach it.
    fn ascended(&self) -> Result<States, EngineError> {
        let scope = &self.plan.scope;
        let mut differences: BTreeMap<&ModelId, StateDict> = BTreeMap::new();
        let mut seconds: BTreeMap<&ModelId, f64> = BTreeMap::new();
        for id in &scope.initial {
            let start = std::time::Instant::now();
            let subject = self.subject(id)?;
            let after = self.tuned(&subject).ascended()?;
            differences.insert(id, minus(&after, &subject.state));
            seconds.insert(id, start.elapsed().as_secs_f64());
        }
        let mut states = States::new();
        for (id, initial) in &scope.reached_by {
            let start = std::time::Instant::now();
            let model = LoadedModel::open(self.trial.registry, self.graph, id)?;
            let reaching: Vec<&StateDict> = initial
                .iter()
                .filter_map(|id| differences.get(id))
                .collect();
            let state = plus(&model.state(self.trial.registry)?, &reaching);
            model
                .architecture
                .check(&state)
                .map_err(EngineError::net(id))?;
            let own = seconds.get(id).copied().unwrap_or_default();
            let spent = own + start.elapsed().as_secs_f64();
            states.insert(id.clone(), (state, spent));
        }
        Ok(states)
    }

    /// Training again without the forget data, parents before children.
    fn retrained(&self) -> Result<States, EngineError> {
        let mut states = States::new();
        for id in self.ordered() {
            let done = self.task(&id, || self.retrained_one(&id, &states))?;
            states.insert(id, done);
        }
        Ok(states)
    }

    fn retrained_one(&self, id: &ModelId, states: &States) -> Result<StateDict, EngineError> {
        let registry = self.trial.registry;
        let subject = self.subject(id)?;
        let parents = self
            .graph
            .parents(id)
            .into_iter()
            .filter(|(_, relation)| !matches!(relation, Relation::UnlearnedFrom { .. }))
            .map(|(parent, relation)| {
                let model = LoadedModel::open(registry, self.graph, parent)?;
                let state = match states.get(parent) {
                    Some((state, _)) => state.clone(),
                    None => model.state(registry)?,
                };
                Ok(Ancestor {
                    weight: weight(relation),
                    labels: model.manifest.labels,
                    state,
                })
            })
            .collect::<Result<Vec<_>, EngineError>>()?;
        let lesson = (self.trial.lessons)(id)?;
        Course {
            name: id.name(),
            architecture: &subject.model.architecture,
            preprocessing: &subject.model.preprocessing,
            labels: &subject.model.manifest.labels,
            set: &subject.retain,
            lesson: &lesson,
            compute: self.trial.compute,
        }
        .run(&parents, "retraining", self.progress)
    }

    /// Stores what changed, publishes it all at once, and says what happened.
    fn published(
        &self,
        states: &States,
        meter: Meter<'_>,
    ) -> Result<(Unlearned, Cost), EngineError> {
        let registry = self.trial.registry;
        let method = self.trial.method;
        let dry_run = self.trial.unlearn.dry_run;
        let ids: BTreeMap<&ModelId, ModelId> = states
            .keys()
            .map(|id| Ok((id, next_version(self.graph, id.name())?)))
            .collect::<Result<_, EngineError>>()?;
        let mut outcomes = Vec::new();
        let mut unwritten = 0;
        for (id, (state, seconds)) in states {
            let model = LoadedModel::open(registry, self.graph, id)?;
            let (changed, tensors) = changed(registry, &model, state)?;
            let digest_after = if dry_run {
                unwritten += size(&changed);
                None
            } else {
                let models = vec![(model.manifest.clone(), changed)];
                registry.put_models(models)?.pop()
            };
            outcomes.push(ModelOutcome {
                before: id.clone(),
                after: ids.get(id).cloned().unwrap_or_else(|| id.clone()),
                role: self.plan.scope.role(id),
                initial: self
                    .plan
                    .scope
                    .reached_by
                    .get(id)
                    .cloned()
                    .unwrap_or_default(),
                digest_before: model.digest,
                digest_after,
                alpha: None,
                lambda: None,
                choice: None,
                tensors,
                unmatched: Vec::new(),
                fallback_card: None,
                seconds: *seconds,
            });
        }
        let mut done = Unlearned {
            request: self.request.clone(),
            method,
            operation: None,
            models: outcomes,
            seconds: 0.0,
            warnings: Vec::new(),
        };
        if !dry_run {
            let publishing = Publishing {
                registry,
                graph: self.graph,
                request: &self.plan.request,
                ids: &ids,
                cards: Vec::new(),
                drafts: vec![self.drafts.name.clone()],
            };
            done.operation = Some(publish(&publishing, &done)?);
            if let Err(error) = self
                .trial
                .features
                .drop_forgotten(&self.plan.request.forget)
            {
                done.warnings.push(format!(
                    "features of forgotten data are still in the registry's cache: {error}"
                ));
            }
        }
        let mut cost = meter.stop();
        cost.bytes_written += unwritten;
        done.seconds = cost.seconds;
        Ok((done, cost))
    }
}

/// Bytes of tensors: what a dry run would have written.
fn size(tensors: &BTreeMap<String, Tensor>) -> u64 {
    tensors
        .values()
        .map(|tensor| tensor.bytes.len() as u64)
        .sum()
}

/// A parent's weight in the average that its child started from.
fn weight(relation: &Relation) -> f64 {
    match relation {
        Relation::FederatedAverage { weight } => *weight,
        Relation::Merged {
            weight: Some(weight),
        } => *weight,
        _ => 1.0,
    }
}

/// The tensors that are not what they were, in the model's own number format, and what was done to
/// each.
#[allow(clippy::type_complexity)]
fn changed(
    registry: &Registry,
    model: &LoadedModel,
    state: &StateDict,
) -> Result<(BTreeMap<String, Tensor>, BTreeMap<String, Selection>), EngineError> {
    let mut tensors = BTreeMap::new();
    let mut selections = BTreeMap::new();
    for (name, array) in state {
        let before = model.tensor(registry, name)?;
        let after = in_format(before.dtype, &array.shape, &array.values);
        let (Some(old), Some(new)) = (before.to_f32(), after.to_f32()) else {
            continue;
        };
        let count = old.iter().zip(&new).filter(|(a, b)| a != b).count() as u64;
        let selection = Selection {
            parameters: new.len() as u64,
            changed: count,
            ..Selection::default()
        };
        selections.insert(name.clone(), selection);
        if count > 0 {
            tensors.insert(name.clone(), after);
        }
    }
    Ok((tensors, selections))
}

fn in_format(dtype: Dtype, shape: &[usize], values: &[f32]) -> Tensor {
    let bytes: Vec<u8> = match dtype {
        Dtype::F16 => {
            let halves = values.iter().map(|v| f16::from_f32(*v));
            halves.flat_map(f16::to_le_bytes).collect()
        }
        Dtype::BF16 => {
            let halves = values.iter().map(|v| bf16::from_f32(*v));
            halves.flat_map(bf16::to_le_bytes).collect()
        }
        _ => return Tensor::from_f32(shape, values),
    };
    Tensor {
        dtype,
        shape: shape.to_vec(),
        bytes,
    }
}
