//! A request that is ready to be executed, and its execution: the plan's stages one after the other,
//! finished edits kept as drafts, all new versions published at once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use disinherit_formats::Tensor;
use disinherit_registry::{Digest, ModelOutcome};
use rayon::prelude::*;
use serde_json::json;
use umig::{ModelId, Plan, Request, Scope, Stage, Task, Umig};

use crate::cards::source::{CardUse, Found, Sources};
use crate::cost::{Cost, Meter};
use crate::draft::Drafts;
use crate::engine::Engine;
use crate::error::{EngineError, Hint};
use crate::evidence::Evidence;
use crate::features::Features;
use crate::layers::Selected;
use crate::method::{Edit, Method};
use crate::model::{LoadedModel, next_version};
use crate::outcome::{Done, Unlearned};
use crate::plan::{Known, check_labels, check_remainder, plan};
use crate::publish::{Publishing, publish, request_id};
use crate::warnings::warnings;
use crate::work::Work;

/// Models whose samples or inner layers are held at the same time.
const FEW: usize = 16;

/// Models whose heads are held at the same time.
const MANY: usize = 256;

/// How a request is executed. Nothing of it decides what comes out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// Models edited at the same time; 0 for one per core.
    pub jobs: usize,
    /// Compute everything, write nothing.
    pub dry_run: bool,
    /// Return the changed tensors of every model in [`Done::changed`].
    pub keep_weights: bool,
    /// Make a plan even where data is missing that its tasks need; such a plan cannot be run.
    pub plan_only: bool,
}

/// A request with its plan, its models opened, and everything that decides what comes out.
pub struct Prepared<'a> {
    engine: &'a Engine<'a>,
    method: &'a dyn Method,
    options: RunOptions,
    plan: Plan,
    /// The models' parts in the request, also for a method that sees each alone.
    roles: Scope,
    graph: Umig,
    features: Features<'a>,
    models: BTreeMap<ModelId, LoadedModel>,
    selected: BTreeMap<ModelId, Selected>,
    found: BTreeMap<ModelId, Found>,
    /// The new version of every touched model.
    becomes: BTreeMap<ModelId, ModelId>,
    cost: Cost,
}

impl Engine<'_> {
    /// Plans a request, opens the models that it touches and finds what each edit will read. Of the
    /// registry nothing is changed; [`Prepared::run`] executes the plan.
    ///
    /// # Errors
    /// [`EngineError`] when the request cannot be planned, names labels that no model has, would
    /// leave a model with nothing to retain, or needs data that was not given.
    pub fn prepare<'p>(
        &'p self,
        request: &Request,
        method: &'p dyn Method,
        options: RunOptions,
    ) -> Result<Prepared<'p>, EngineError> {
        Prepared::new(self, request, method, options)
    }
}

impl<'a> Prepared<'a> {
    pub(crate) fn new(
        engine: &'a Engine<'a>,
        request: &Request,
        method: &'a dyn Method,
        options: RunOptions,
    ) -> Result<Self, EngineError> {
        let meter = Meter::start(engine.registry());
        method.check(&request.forget)?;
        let graph = engine.registry().graph()?;
        check_labels(&graph, &request.forget)?;
        let roles = graph.scope(request)?;
        let scope = method.scope(&roles);
        for id in scope.touched() {
            if let Some(model) = graph.get(id) {
                check_remainder(model, &request.forget)?;
            }
        }
        if method.needs_data() && engine.data().is_none() && !options.plan_only {
            return Err(EngineError::NeedsData {
                why: format!("`{}` works on training data", method.name()),
                hint: Some(Hint::GiveData),
            });
        }
        let features = engine.features(Some(&request.forget));
        let opening = Opening {
            engine,
            graph: &graph,
            method,
            features: &features,
            options,
        };
        let (models, known) = opening.all(&scope)?;
        let becomes = models
            .keys()
            .map(|id| Ok((id.clone(), next_version(&graph, id.name())?)))
            .collect::<Result<_, EngineError>>()?;
        let plan = plan(request, &scope, &graph, method, &known);
        let (selected, found) = known
            .into_iter()
            .map(|(id, known)| ((id.clone(), known.selected), (id, known.found)))
            .unzip();
        Ok(Self {
            cost: meter.stop(),
            engine,
            method,
            options,
            plan,
            roles,
            features,
            models,
            selected,
            found,
            becomes,
            graph,
        })
    }

    /// The plan: what [`Prepared::run`] executes.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The graph as it was when the request was prepared.
    pub fn graph(&self) -> &Umig {
        &self.graph
    }

    /// Executes the plan, stage after stage, and publishes the new versions in one transaction,
    /// unless it is a dry run. A run of the same request that was stopped is taken up: what it
    /// finished is not computed again. What was computed from the forgotten data is dropped from
    /// the cache of features.
    ///
    /// # Errors
    /// [`EngineError`]; nothing is published then.
    pub fn run(&self) -> Result<Done, EngineError> {
        let meter = Meter::start(self.engine.registry());
        let start = Instant::now();
        let digests: Vec<Digest> = self.models.values().map(|model| model.digest).collect();
        let request = request_id(&self.plan.request, &self.method.name(), &digests)?;
        let data = self.engine.data().filter(|_| !self.options.dry_run);
        let settings = json!({
            "settings": self.method.settings()?,
            "data": data.map(|data| [data.train.digest(), data.heldout.digest()].map(|d| d.to_string())),
        });
        let drafts = Drafts::open(self.engine.registry(), request.as_str(), &settings)?;
        let mut run = Run {
            prepared: self,
            work: self.work(),
            drafts,
            kept: self.waited_for(),
            seconds: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            changed: BTreeMap::new(),
            unwritten: 0,
        };
        let mut preparation = self.cost;
        for stage in &self.plan.stages {
            let first_edit = stage.tasks.iter().any(|t| matches!(t, Task::Edit { .. }));
            let meter = Meter::start(self.engine.registry());
            run.stage(stage)?;
            if !first_edit {
                preparation = preparation.plus(meter.stop());
            }
        }
        let (outcomes, changed, unwritten) = (
            std::mem::take(&mut run.outcomes),
            std::mem::take(&mut run.changed),
            run.unwritten,
        );
        let mut unlearned = Unlearned {
            request,
            method: self.method.name(),
            operation: None,
            warnings: warnings(&run.work, &outcomes),
            models: outcomes.into_values().collect(),
            seconds: 0.0,
        };
        if !self.options.dry_run {
            self.publish(&run, &mut unlearned)?;
        }
        unlearned.seconds = start.elapsed().as_secs_f64();
        let from_cards = run.work.cards.values().filter(|card| !card.new).count();
        let mut cost = self.cost.plus(meter.stop());
        cost.bytes_written += unwritten;
        Ok(Done {
            unlearned,
            changed,
            from_cards,
            cost,
            preparation,
        })
    }

    fn work(&self) -> Work<'_> {
        let kept = self.found.iter().filter_map(|(id, found)| match found {
            Found::Card(reader) => Some((id.clone(), CardUse::kept(reader.clone(), None))),
            Found::Fallback(reader, fallback) => {
                let fallback = Some(fallback.clone());
                Some((id.clone(), CardUse::kept(reader.clone(), fallback)))
            }
            Found::Data => None,
        });
        Work {
            engine: self.engine,
            features: &self.features,
            graph: &self.graph,
            scope: &self.plan.scope,
            forget: &self.plan.request.forget,
            models: &self.models,
            selected: &self.selected,
            cards: kept.collect(),
            forget_fishers: BTreeMap::new(),
            differences: BTreeMap::new(),
            edited: BTreeMap::new(),
        }
    }

    /// The models whose edits others wait for.
    fn waited_for(&self) -> BTreeSet<ModelId> {
        let scope = &self.plan.scope;
        let touched = scope.touched();
        touched
            .flat_map(|id| self.method.waits_for(id, &self.graph, scope))
            .collect()
    }

    fn publish(&self, run: &Run<'_>, unlearned: &mut Unlearned) -> Result<(), EngineError> {
        let cards = run.work.cards.values();
        let publishing = Publishing {
            registry: self.engine.registry(),
            graph: &self.graph,
            request: &self.plan.request,
            becomes: &self.becomes,
            cards: cards.clone().filter_map(|card| card.row.clone()).collect(),
            drafts: [run.drafts.name.clone()]
                .into_iter()
                .chain(cards.filter_map(|card| card.draft.clone()))
                .collect(),
        };
        unlearned.operation = Some(publish(&publishing, unlearned)?);
        let forget = &self.plan.request.forget;
        if let Err(error) = self.features.drop_forgotten(forget) {
            unlearned.warnings.push(format!(
                "features of forgotten data are still in the registry's cache: {error}"
            ));
        }
        Ok(())
    }
}

/// Opens the touched models, and finds their Fisher information.
struct Opening<'a> {
    engine: &'a Engine<'a>,
    graph: &'a Umig,
    method: &'a dyn Method,
    features: &'a Features<'a>,
    options: RunOptions,
}

/// The opened models, and what is known of those whose Fisher information is read.
type Opened = (BTreeMap<ModelId, LoadedModel>, BTreeMap<ModelId, Known>);

impl Opening<'_> {
    fn all(&self, scope: &Scope) -> Result<Opened, EngineError> {
        let touched: Vec<&ModelId> = scope.touched().collect();
        let pool = pool(self.options.jobs)?;
        let opened: Vec<Result<_, EngineError>> =
            pool.install(|| touched.par_iter().map(|id| self.one(id)).collect());
        let (mut models, mut known) = Opened::default();
        // Of several errors the first in the graph's order is told, whichever thread was faster.
        for opened in opened {
            let (model, fisher) = opened?;
            if let Some(fisher) = fisher {
                known.insert(model.id().clone(), fisher);
            }
            models.insert(model.id().clone(), model);
        }
        Ok((models, known))
    }

    fn one(&self, id: &ModelId) -> Result<(LoadedModel, Option<Known>), EngineError> {
        let model = LoadedModel::open(self.engine.registry(), self.graph, id)?;
        let Some(options) = self.method.fisher() else {
            return Ok((model, None));
        };
        let selected = options.layers.of(&model, self.features.runner())?;
        let sources = Sources {
            engine: self.engine,
            graph: self.graph,
            options,
            features: self.features,
            dry_run: self.options.dry_run,
        };
        let found = sources.find(&model, &selected, !self.options.plan_only)?;
        Ok((model, Some(Known { selected, found })))
    }
}

fn pool(jobs: usize) -> Result<rayon::ThreadPool, EngineError> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(jobs)
        .build()
        .map_err(|error| EngineError::Internal(format!("cannot start {jobs} threads: {error}")))
}

/// A plan on its way.
struct Run<'p> {
    prepared: &'p Prepared<'p>,
    work: Work<'p>,
    drafts: Drafts<'p>,
    /// The models whose changes later edits read.
    kept: BTreeSet<ModelId>,
    /// Seconds that differences took.
    seconds: BTreeMap<ModelId, f64>,
    outcomes: BTreeMap<ModelId, ModelOutcome>,
    changed: BTreeMap<ModelId, BTreeMap<String, Tensor>>,
    /// Bytes that a dry run would have written.
    unwritten: u64,
}

impl Run<'_> {
    /// Executes the tasks of a stage: those that run networks one after the other, since a forward
    /// pass uses every core, and edits beside each other where the method allows it.
    fn stage(&mut self, stage: &Stage) -> Result<(), EngineError> {
        let mut edits = Vec::new();
        for task in &stage.tasks {
            match task {
                Task::Card { model } => self.card(model)?,
                Task::ForgetFisher { model, .. } => self.forget_fisher(model)?,
                Task::Difference { model } => self.difference(model)?,
                Task::Edit { model, .. } => edits.push(model),
            }
        }
        self.edits(&edits)
    }

    fn sources(&self) -> Option<Sources<'_>> {
        Some(Sources {
            engine: self.prepared.engine,
            graph: &self.prepared.graph,
            options: self.prepared.method.fisher()?,
            features: &self.prepared.features,
            dry_run: self.prepared.options.dry_run,
        })
    }

    fn card(&mut self, id: &ModelId) -> Result<(), EngineError> {
        let model = self.work.model(id)?;
        if let (Some(sources), Some(selected)) = (self.sources(), self.work.selected.get(id)) {
            let card = sources.compute(model, selected)?;
            self.work.cards.insert(id.clone(), card);
        }
        Ok(())
    }

    fn forget_fisher(&mut self, id: &ModelId) -> Result<(), EngineError> {
        let model = self.work.model(id)?;
        let (card, selected) = (self.work.cards.get(id), self.work.selected.get(id));
        if let (Some(sources), Some(card), Some(selected)) = (self.sources(), card, selected) {
            let fisher = sources.forget_fisher(self.work.forget, model, card, selected)?;
            self.work.forget_fishers.insert(id.clone(), fisher);
        }
        Ok(())
    }

    fn difference(&mut self, id: &ModelId) -> Result<(), EngineError> {
        let start = Instant::now();
        let model = self.work.model(id)?;
        let difference = self.prepared.method.difference(&self.work, model)?;
        self.work.differences.insert(id.clone(), difference);
        let seconds = start.elapsed().as_secs_f64();
        self.seconds.insert(id.clone(), seconds);
        Ok(())
    }

    fn edits(&mut self, ids: &[&ModelId]) -> Result<(), EngineError> {
        if ids.is_empty() {
            return Ok(());
        }
        let prepared = self.prepared;
        let stage = prepared
            .engine
            .progress()
            .stage("unlearning", ids.len() as u64);
        let mut todo = Vec::with_capacity(ids.len());
        for id in ids {
            if self.taken_up(id)? {
                stage.advance(1);
            } else {
                todo.push(self.work.model(id)?);
            }
        }
        let parallel = prepared.method.runs_in_parallel();
        let heads_only = prepared.selected.values().all(|s| s.inner.is_empty());
        let window = match (parallel, heads_only && prepared.engine.data().is_none()) {
            (false, _) => 1,
            (true, false) => FEW,
            (true, true) => MANY,
        };
        let pool = pool(prepared.options.jobs)?;
        for models in todo.chunks(window) {
            let evidence: Vec<Option<Evidence>> = models
                .iter()
                .map(|model| prepared.method.evidence(&self.work, model.id()))
                .collect::<Result<_, _>>()?;
            let work = &self.work;
            let edit = |(model, evidence): (&&LoadedModel, &Option<Evidence>)| {
                let start = Instant::now();
                let edit = prepared.method.edit(work, model, evidence.as_ref())?;
                stage.advance(1);
                Ok((edit, start.elapsed().as_secs_f64()))
            };
            let edits: Vec<Result<(Edit, f64), EngineError>> = if parallel {
                pool.install(|| models.par_iter().zip(&evidence).map(edit).collect())
            } else {
                models.iter().zip(&evidence).map(edit).collect()
            };
            let edits = edits.into_iter().collect::<Result<Vec<_>, _>>()?;
            self.keep(models, edits)?;
        }
        Ok(())
    }

    /// Takes up the edit that a run that was stopped finished.
    fn taken_up(&mut self, id: &ModelId) -> Result<bool, EngineError> {
        if self.prepared.options.dry_run {
            return Ok(false);
        }
        let finished = self.drafts.get::<ModelOutcome>(&id.to_string());
        let Some(outcome) = finished.filter(|o| Some(&o.after) == self.prepared.becomes.get(id))
        else {
            return Ok(false);
        };
        if let Some(digest) = outcome.digest_after {
            let wanted = self.prepared.options.keep_weights || self.kept.contains(id);
            if wanted {
                let registry = self.prepared.engine.registry();
                let changed = self.work.model(id)?.difference(registry, digest)?;
                self.remember(id, changed);
            }
        }
        self.outcomes.insert(id.clone(), outcome);
        Ok(true)
    }

    /// Stores edits, keeps them as drafts, and their outcomes.
    fn keep(
        &mut self,
        models: &[&LoadedModel],
        edits: Vec<(Edit, f64)>,
    ) -> Result<(), EngineError> {
        let mut outcomes = Vec::with_capacity(models.len());
        let mut changed = Vec::with_capacity(models.len());
        for (model, (edit, seconds)) in models.iter().zip(edits) {
            let id = model.id();
            let seconds = seconds + self.seconds.get(id).copied().unwrap_or_default();
            let (outcome, tensors) = self.outcome(model, edit, seconds);
            if self.prepared.options.keep_weights || self.kept.contains(id) {
                self.remember(id, tensors.clone());
            }
            outcomes.push(outcome);
            changed.push(tensors);
        }
        if self.prepared.options.dry_run {
            let tensors = changed.iter().flat_map(BTreeMap::values);
            self.unwritten += tensors.map(|t| t.bytes.len() as u64).sum::<u64>();
        } else {
            let manifests = models.iter().map(|model| model.manifest.clone());
            let registry = self.prepared.engine.registry();
            let digests = registry.put_models(manifests.zip(changed).collect())?;
            for (outcome, digest) in outcomes.iter_mut().zip(digests) {
                outcome.digest_after = Some(digest);
            }
            self.drafts.keep(outcomes.iter().map(|outcome| {
                let blobs = outcome.digest_after.into_iter().collect();
                (outcome.before.to_string(), outcome, blobs)
            }))?;
        }
        let outcomes = outcomes.into_iter();
        self.outcomes
            .extend(outcomes.map(|o| (o.before.clone(), o)));
        Ok(())
    }

    fn remember(&mut self, id: &ModelId, changed: BTreeMap<String, Tensor>) {
        if self.kept.contains(id) {
            self.work.edited.insert(id.clone(), changed.clone());
        }
        if self.prepared.options.keep_weights {
            self.changed.insert(id.clone(), changed);
        }
    }

    fn outcome(
        &self,
        model: &LoadedModel,
        edit: Edit,
        seconds: f64,
    ) -> (ModelOutcome, BTreeMap<String, Tensor>) {
        let prepared = self.prepared;
        let id = model.id();
        let card = self.work.cards.get(id);
        let outcome = ModelOutcome {
            before: id.clone(),
            after: prepared.becomes.get(id).unwrap_or(id).clone(),
            role: prepared.roles.role(id),
            initial: self.work.reached_by(id),
            digest_before: model.digest,
            digest_after: None,
            alpha: edit.alpha,
            lambda: edit.lambda,
            choice: edit.choice,
            tensors: edit.tensors,
            unmatched: edit.unmatched,
            fallback_card: card.and_then(|card| card.fallback.as_ref().map(|f| f.of.clone())),
            seconds,
        };
        (outcome, edit.changed)
    }
}
