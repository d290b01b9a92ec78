//! A request that is ready to be executed: its plan, its models, everything that decides what comes
//! out. All new versions are published at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;
use std::thread;
use std::time::Instant;

use disinherit_registry::{Digest, ErasureRun, LossBound, RequestId, RetiredModel};
use serde_json::json;
use umig::{Forget, ModelId, Part, Plan, Request, Scope, Shard, Task, Umig};

use crate::cards::source::{CardUse, Found};
use crate::checks::{check_data, graph_for};
use crate::cost::{Cost, Meter};
use crate::draft::Drafts;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::execution::Execution;
use crate::features::Features;
use crate::layers::Selected;
use crate::method::Method;
use crate::model::find;
use crate::models::Models;
use crate::opening::Opening;
use crate::outcome::{Done, ShardDone, Unlearned};
use crate::plan::{Planning, asked_after, emptied, plan};
use crate::publish::{Publishing, publish, request_id};
use crate::replacement::{retired, successors};
use crate::run_options::RunOptions;
use crate::warnings::warnings;
use crate::work::Work;

/// A request with its plan, its models opened, and everything that decides what comes out.
pub struct Prepared<'a> {
    engine: &'a Engine<'a>,
    method: &'a dyn Method,
    options: RunOptions,
    /// The run of an erasure request that it is, where it is one.
    erasure: Option<ErasureRun>,
    plan: Plan,
    /// The models' parts in the request, also for a method that sees each alone.
    roles: Scope,
    graph: Umig,
    features: Features<'a>,
    models: Models,
    /// The models that nothing would be left of.
    retired: BTreeMap<ModelId, RetiredModel>,
    selected: BTreeMap<ModelId, Selected>,
    found: BTreeMap<ModelId, Found>,
    /// The new version of every model that is edited.
    becomes: BTreeMap<ModelId, ModelId>,
    cost: Cost,
}

impl Engine<'_> {
    /// Plans a request, opens the models that it touches and finds what each edit will read. Of the
    /// registry nothing is changed; [`Prepared::run`] executes the plan.
    ///
    /// # Errors
    /// [`EngineError`] when the request cannot be planned, names labels that no model has, or needs data
    /// that was not given.
    pub fn prepare<'p>(
        &'p self,
        request: &Request,
        method: &'p dyn Method,
        options: RunOptions,
    ) -> Result<Prepared<'p>, EngineError> {
        let meter = Meter::start(self.registry());
        let graph = graph_for(self, &request.forget, method, options)?;
        Prepared::new(self, Read { graph, meter }, request, method, options)
    }

    /// The same with the initial models by name (`clinic`, `clinic@2`): the graph that the plan is made from
    /// resolves them.
    ///
    /// # Errors
    /// As [`Engine::prepare`], or [`EngineError::UnknownModel`].
    pub fn prepare_named<'p>(
        &'p self,
        forget: Forget,
        initial: &[String],
        method: &'p dyn Method,
        options: RunOptions,
    ) -> Result<Prepared<'p>, EngineError> {
        let meter = Meter::start(self.registry());
        let graph = graph_for(self, &forget, method, options)?;
        let find = |name: &String| Ok(find(&graph, name)?.id.clone());
        let from: Result<Vec<ModelId>, EngineError> = initial.iter().map(find).collect();
        let request = Request::new(forget).from_models(from?);
        Prepared::new(self, Read { graph, meter }, &request, method, options)
    }
}

/// What was read of the registry for a request, and what that cost so far.
struct Read<'a> {
    graph: Umig,
    meter: Meter<'a>,
}

impl<'a> Prepared<'a> {
    fn new(
        engine: &'a Engine<'a>,
        read: Read<'_>,
        request: &Request,
        method: &'a dyn Method,
        options: RunOptions,
    ) -> Result<Self, EngineError> {
        let Read { graph, meter } = read;
        let roles = graph.scope(request)?;
        let scope = method.scope(&roles);
        let emptied = emptied(&graph, request, &scope)?;
        let edits = scope.touched().any(|id| !emptied.contains(id));
        if edits && !options.plan_only {
            check_data(engine, method)?;
        }
        let features = engine.features(Some(&request.forget));
        let (models, known) = Opening {
            engine,
            graph: &graph,
            method,
            features: &features,
            options,
            scope: &scope,
            forget: &request.forget,
        }
        .all(opened(method, &scope, &emptied))?;
        let retired = retired(engine, &roles, &emptied)?;
        let edited = models.iter().map(|(id, _)| id);
        let becomes = successors(&graph, edited.filter(|id| !emptied.contains(*id)))?;
        let plan = plan(&Planning {
            request,
            scope: &scope,
            graph: &graph,
            method,
            retired: &emptied,
            models: &models,
            known: &known,
        });
        let (selected, found) = known
            .into_iter()
            .map(|(id, known)| ((id.clone(), known.selected), (id, known.found)))
            .unzip();
        tracing::info!(method = %method.name(), edits = becomes.len(), retired = retired.len(), "planned");
        Ok(Self {
            cost: meter.stop(),
            engine,
            method,
            options,
            erasure: None,
            plan,
            roles,
            features,
            models,
            retired,
            selected,
            found,
            becomes,
            graph,
        })
    }

    /// The same as a run of an erasure request: what it publishes is a step of that, in the same
    /// transaction, and refused where the run was taken over.
    #[must_use]
    pub fn for_erasure(mut self, run: ErasureRun) -> Self {
        self.erasure = Some(run);
        self
    }

    /// The plan: what [`Prepared::run`] executes.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The graph as it was when the request was prepared.
    pub fn graph(&self) -> &Umig {
        &self.graph
    }

    /// What every model may lose in accuracy on the retained data.
    pub fn loss_bound(&self) -> LossBound {
        self.options.loss
    }

    /// Executes the plan, stage after stage, and publishes the new versions in one transaction,
    /// unless it is a dry run. A run of the same request that was stopped is taken up: what it
    /// finished is not computed again. What was computed from the forgotten data is dropped from
    /// the cache of features.
    ///
    /// # Errors
    /// [`EngineError`]; nothing is published then. [`EngineError::Stopped`] when it was asked to stop
    /// ([`Engine::stop`]): what it finished is kept. [`EngineError::LosesTooMuch`] when models would lose
    /// more accuracy on the retained data than is allowed: what was computed for those is dropped.
    pub fn run(&self) -> Result<Done, EngineError> {
        self.check_runs()?;
        let meter = Meter::start(self.engine.registry());
        let start = Instant::now();
        let request = self.request_id()?;
        let mut execution = self.execution(self.drafts(&request)?);
        let preparation = self.execute(&mut execution, self.becomes.keys().cloned().collect())?;
        execution.check_losses()?;
        self.engine.go_on()?;
        let outcomes = std::mem::take(&mut execution.outcomes);
        let mut unlearned = Unlearned {
            request,
            method: self.method.name(),
            operation: None,
            warnings: warnings(&execution.work, &outcomes)?,
            models: outcomes.into_values().collect(),
            retired: self.retired.values().cloned().collect(),
            loss_bound: self.options.loss,
            seconds: 0.0,
        };
        if !self.options.dry_run {
            self.publish(&execution, &mut unlearned)?;
        }
        unlearned.seconds = start.elapsed().as_secs_f64();
        let mut cost = self.cost.plus(meter.stop());
        cost.bytes_written += execution.unwritten;
        let mut cards = execution.work.cards;
        cards.retain(|id, card| !card.new && !self.retired.contains_key(id));
        Ok(Done {
            unlearned,
            from_cards: cards.len(),
            changed: execution.changed,
            cost,
            preparation,
        })
    }

    /// Refuses what was prepared for its plan only.
    fn check_runs(&self) -> Result<(), EngineError> {
        match self.options.plan_only {
            false => Ok(()),
            true => Err(EngineError::Setting(
                "this was prepared for its plan only, without the checks of a run".into(),
            )),
        }
    }

    /// What was finished of the request, with these settings and on this data.
    fn drafts(&self, request: &RequestId) -> Result<Drafts<'_>, EngineError> {
        let data = self.engine.data().filter(|_| !self.options.dry_run);
        let settings = json!({
            "settings": self.method.settings()?,
            "data": data.map(|data| [data.train.digest(), data.heldout.digest()].map(|d| d.to_string())),
        });
        let mut drafts = Drafts::open(self.engine.registry(), request.as_str(), &settings)?;
        if !self.options.dry_run {
            drafts.claim(request)?;
        }
        Ok(drafts)
    }

    /// The plan in so many parts, each for one process ([`Prepared::run_shard`]). A part's cost is the bytes of
    /// weights that its tasks read, once for each sample that they are run on. It depends on the registry and the
    /// method alone, so that every process splits the plan in the same way.
    pub fn parts(&self, of: u32) -> Vec<Part> {
        self.plan.parts(of, &|id| self.weight(id))
    }

    /// What all tasks of a model cost, in the unit of [`Prepared::parts`].
    fn weight(&self, id: &ModelId) -> u64 {
        let Some(model) = self
            .models
            .get(id)
            .filter(|_| self.becomes.contains_key(id))
        else {
            return 0;
        };
        let carded = !matches!(self.found.get(id), Some(Found::Data | Found::Fallback(..)));
        let inner = self
            .selected
            .get(id)
            .is_none_or(|selected| !selected.inner.is_empty());
        match carded && !model.edits_features && !inner {
            true => model.head_bytes,
            false => model.cost_of_passes,
        }
    }

    /// Executes the tasks of one shard and keeps what they make as drafts, which any process takes up:
    /// [`Prepared::run`], which publishes, or another shard. Nothing is published. What an edit waits for in
    /// other shards is made here too, unless it is finished by then.
    ///
    /// # Errors
    /// [`EngineError`] as for [`Prepared::run`]; what was finished before stays.
    pub fn run_shard(&self, shard: Shard) -> Result<ShardDone, EngineError> {
        self.check_runs()?;
        if self.options.dry_run {
            return Err(EngineError::Setting(
                "a shard keeps what it makes: it cannot be run without writing".into(),
            ));
        }
        let start = Instant::now();
        let request = self.request_id()?;
        let mut execution = self.execution(self.drafts(&request)?);
        execution.shared = true;
        let part = self
            .parts(shard.of())
            .into_iter()
            .find(|part| part.shard == shard);
        let models: Vec<ModelId> = part.map(|part| part.models).unwrap_or_default();
        let edits: Vec<ModelId> = models
            .into_iter()
            .filter(|id| self.becomes.contains_key(id))
            .collect();
        execution.take_up(edits.iter().cloned().collect())?;
        let taken_up = edits.len() - execution.todo.len();
        let todo = self.with_waited_for(execution.todo.clone());
        self.execute(&mut execution, todo)?;
        execution.check_losses()?;
        Ok(ShardDone {
            request,
            shard,
            edited: edits.len() - taken_up,
            taken_up,
            models: edits,
            seconds: start.elapsed().as_secs_f64(),
        })
    }

    /// Some edits with all that they wait for.
    fn with_waited_for(&self, mut edits: BTreeSet<ModelId>) -> BTreeSet<ModelId> {
        let mut open: Vec<ModelId> = edits.iter().cloned().collect();
        while let Some(id) = open.pop() {
            let waits = self.method.waits_for(&id, &self.graph, &self.plan.scope);
            let new = waits.into_iter().filter(|id| self.becomes.contains_key(id));
            open.extend(new.filter(|id| edits.insert(id.clone())));
        }
        edits
    }

    /// The request's name: of what is asked, and of all models that it touches.
    fn request_id(&self) -> Result<RequestId, EngineError> {
        let opened = self.models.iter().map(|(_, model)| model.digest);
        let retired = self.retired.values();
        let unopened = retired.filter(|gone| self.models.get(&gone.model).is_none());
        let digests: Vec<Digest> = opened.chain(unopened.map(|gone| gone.digest)).collect();
        request_id(&self.plan.request, &self.method.name(), &digests)
    }

    fn execution<'p>(&'p self, drafts: Drafts<'p>) -> Execution<'p> {
        Execution {
            method: self.method,
            options: self.options,
            roles: &self.roles,
            becomes: &self.becomes,
            work: self.work(),
            drafts,
            kept: self.waited_for(),
            todo: BTreeSet::new(),
            shared: false,
            seconds: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            refused: Vec::new(),
            changed: BTreeMap::new(),
            unwritten: 0,
        }
    }

    /// Executes all stages as far as some edits need them; returns what everything before the first edit
    /// cost.
    fn execute(
        &self,
        execution: &mut Execution<'_>,
        edits: BTreeSet<ModelId>,
    ) -> Result<Cost, EngineError> {
        execution.take_up(edits)?;
        execution.drafts.let_go();
        let registry = self.engine.registry();
        let writes = !self.options.dry_run && !execution.todo.is_empty();
        thread::scope(|scope| {
            if writes && registry.is_remote() {
                // What goes wrong here is told by the first who writes.
                scope.spawn(|| registry.begin_to_write());
            }
            self.stages(execution)
        })
    }

    fn stages(&self, execution: &mut Execution<'_>) -> Result<Cost, EngineError> {
        let mut preparation = self.cost;
        for stage in &self.plan.stages {
            let edits = stage.tasks.iter().any(|t| matches!(t, Task::Edit { .. }));
            let meter = Meter::start(self.engine.registry());
            execution.stage(stage)?;
            if !edits {
                preparation = preparation.plus(meter.stop());
            }
        }
        Ok(preparation)
    }

    fn work(&self) -> Work<'_> {
        let kept = self.found.iter().filter_map(|(id, found)| match found {
            Found::Card(card) => Some((id.clone(), CardUse::kept(card.clone(), None))),
            Found::Fallback(card, fallback) => {
                let fallback = Some(fallback.clone());
                Some((id.clone(), CardUse::kept(card.clone(), fallback)))
            }
            Found::Data => None,
        });
        Work {
            engine: self.engine,
            features: &self.features,
            graph: &self.graph,
            scope: &self.plan.scope,
            forget: &self.plan.request.forget,
            retired: &self.retired,
            learns_retained: self.method.learns_retained(),
            options: self.options,
            forgotten: OnceLock::new(),
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

    fn publish(
        &self,
        execution: &Execution<'_>,
        unlearned: &mut Unlearned,
    ) -> Result<(), EngineError> {
        let cards = execution.work.cards.values();
        let publishing = Publishing {
            registry: self.engine.registry(),
            graph: &self.graph,
            request: &self.plan.request,
            becomes: &self.becomes,
            retired: &self.retired,
            erasure: self.erasure,
            cards: cards.clone().filter_map(|card| card.row.clone()).collect(),
            drafts: [execution.drafts.name.clone()]
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

/// The models that are opened: those that are edited, and those whose forget data is asked after.
fn opened<'s>(
    method: &dyn Method,
    scope: &'s Scope,
    emptied: &BTreeSet<ModelId>,
) -> Vec<&'s ModelId> {
    let reads = method.fisher().is_some() || method.copies_differences();
    let asked = match reads {
        true => asked_after(scope, emptied),
        false => BTreeSet::new(),
    };
    let needed = |id: &&ModelId| !emptied.contains(*id) || asked.contains(*id);
    scope.touched().filter(needed).collect()
}
