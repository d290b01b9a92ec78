//! A plan on its way: stages one after the other, finished edits kept as drafts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

use disinherit_formats::Tensor;
use disinherit_registry::{LossCheck, ModelOutcome, TensorRef};
use rayon::ThreadPool;
use rayon::prelude::*;
use umig::{ModelId, Scope, Stage, Task};

use crate::cards::source::Sources;
use crate::draft::Drafts;
use crate::error::EngineError;
use crate::evidence::Evidence;
use crate::loss_check::LossChecker;
use crate::method::{Edit, Method};
use crate::model::LoadedModel;
use crate::model_loss::ModelLoss;
use crate::opening::pool;
use crate::progress::Stage as ProgressStage;
use crate::run_options::RunOptions;
use crate::storing::{Stored, Unstored, stored};
use crate::work::Work;

/// Models whose samples or inner layers are held at the same time.
const FEW: usize = 16;

/// Models whose heads are held at the same time.
const MANY: usize = 512;

/// An edit, and the seconds that it took.
struct Made {
    model: Arc<LoadedModel>,
    edit: Edit,
    seconds: f64,
}

/// A plan on its way.
pub(crate) struct Execution<'p> {
    pub(crate) method: &'p dyn Method,
    pub(crate) options: RunOptions,
    /// The models' parts in the request.
    pub(crate) roles: &'p Scope,
    /// The new version of every model that is edited.
    pub(crate) becomes: &'p BTreeMap<ModelId, ModelId>,
    pub(crate) work: Work<'p>,
    pub(crate) drafts: Drafts<'p>,
    /// The models whose changes later edits read.
    pub(crate) kept: BTreeSet<ModelId>,
    /// The edits that are still to be made.
    pub(crate) todo: BTreeSet<ModelId>,
    /// Whether others work on the request beside this run.
    pub(crate) shared: bool,
    /// Seconds that differences took.
    pub(crate) seconds: BTreeMap<ModelId, f64>,
    pub(crate) outcomes: BTreeMap<ModelId, ModelOutcome>,
    /// The models whose edits cost too much.
    pub(crate) refused: Vec<ModelLoss>,
    /// The changed tensors of every model, where they were asked for.
    pub(crate) changed: BTreeMap<ModelId, BTreeMap<String, Tensor>>,
    /// Bytes that a dry run would have written.
    pub(crate) unwritten: u64,
}

impl Execution<'_> {
    /// Takes up the edits that are finished: what is left of them is to be made here.
    pub(crate) fn take_up(&mut self, edits: BTreeSet<ModelId>) -> Result<(), EngineError> {
        self.todo = edits;
        if self.options.dry_run {
            return Ok(());
        }
        let finished = {
            let pool = pool(self.jobs())?;
            let todo: Vec<&ModelId> = self.todo.iter().collect();
            let drafts = &self.drafts;
            let find = |id: &&ModelId| drafts.get::<ModelOutcome>(&id.to_string());
            pool.install(|| todo.par_iter().map(find).collect::<Vec<_>>())
        };
        for outcome in finished.into_iter().flatten() {
            if Some(&outcome.after) == self.becomes.get(&outcome.before) {
                self.taken_up(outcome)?;
            }
        }
        Ok(())
    }

    /// Executes the tasks of a stage that edits of this run need: those that run networks one after the
    /// other, since a forward pass uses every core, and edits beside each other where the method allows it.
    pub(crate) fn stage(&mut self, stage: &Stage) -> Result<(), EngineError> {
        let read: BTreeSet<ModelId> = self
            .todo
            .iter()
            .flat_map(|id| self.work.reached_by(id))
            .collect();
        let mut edits = Vec::new();
        for task in &stage.tasks {
            self.work.engine.go_on()?;
            let id = task.model();
            let (read, edited) = (read.contains(id), self.todo.contains(id));
            let start = Instant::now();
            let kind = match task {
                // The process that publishes publishes all cards, also those of edits that others made.
                Task::Card { .. } if read || edited || !self.shared => {
                    self.card(id)?;
                    "card"
                }
                Task::ForgetFisher { .. } if read => {
                    self.forget_fisher(id)?;
                    "forget_fisher"
                }
                Task::Difference { .. } if read => {
                    self.difference(id)?;
                    "difference"
                }
                Task::Edit { .. } => {
                    edits.push(id);
                    continue;
                }
                // A model is retired when everything is published.
                Task::Card { .. }
                | Task::ForgetFisher { .. }
                | Task::Difference { .. }
                | Task::Retire { .. } => continue,
            };
            tracing::debug!(model = %id, seconds = start.elapsed().as_secs_f64(), "{kind}");
        }
        self.edits(&edits)
    }

    /// Threads that work on models: more than there are cores where they wait for shared storage.
    fn jobs(&self) -> usize {
        self.work.engine.jobs(self.options.jobs)
    }

    fn sources(&self) -> Option<Sources<'_>> {
        Some(Sources {
            engine: self.work.engine,
            graph: self.work.graph,
            options: self.method.fisher()?,
            features: self.work.features,
            dry_run: self.options.dry_run,
        })
    }

    fn card(&mut self, id: &ModelId) -> Result<(), EngineError> {
        let model = self.work.model(id)?;
        if let (Some(sources), Some(selected)) = (self.sources(), self.work.selected.get(id)) {
            let mut card = sources.compute(&model, selected)?;
            card.card = card.card.kept_open(self.work.models.stays_open(id));
            self.work.cards.insert(id.clone(), card);
        }
        Ok(())
    }

    fn forget_fisher(&mut self, id: &ModelId) -> Result<(), EngineError> {
        let model = self.work.model(id)?;
        let (card, selected) = (self.work.cards.get(id), self.work.selected.get(id));
        if let (Some(sources), Some(card), Some(selected)) = (self.sources(), card, selected) {
            let fisher = sources.forget_fisher(self.work.forget, &model, card, selected)?;
            self.work.forget_fishers.insert(id.clone(), fisher);
        }
        Ok(())
    }

    fn difference(&mut self, id: &ModelId) -> Result<(), EngineError> {
        let start = Instant::now();
        let model = self.work.model(id)?;
        let difference = self.method.difference(&self.work, &model)?;
        self.work.differences.insert(id.clone(), difference);
        let seconds = start.elapsed().as_secs_f64();
        self.seconds.insert(id.clone(), seconds);
        Ok(())
    }

    fn edits(&mut self, ids: &[&ModelId]) -> Result<(), EngineError> {
        if ids.is_empty() {
            return Ok(());
        }
        if self.shared && self.kept.iter().any(|id| self.todo.contains(id)) {
            // Another shard may have made by now what edits of this one wait for.
            self.drafts.refresh()?;
            self.take_up(self.todo.clone())?;
        }
        let mine = |id: &&&ModelId| self.todo.contains(**id) || self.outcomes.contains_key(**id);
        let mine: Vec<&ModelId> = ids.iter().filter(mine).copied().collect();
        let progress = self.work.engine.progress();
        let stage = progress.stage("unlearning", mine.len() as u64);
        let todo: Vec<&ModelId> = mine
            .iter()
            .filter(|id| self.todo.contains(**id))
            .copied()
            .collect();
        stage.advance((mine.len() - todo.len()) as u64);
        let parallel = self.method.runs_in_parallel();
        let heads_only = self.work.selected.values().all(|s| s.inner.is_empty());
        let window = match (parallel, heads_only && self.work.engine.data().is_none()) {
            (false, _) => 1,
            (true, false) => FEW,
            (true, true) => MANY,
        };
        let pool = pool(self.jobs())?;
        let (registry, drafts) = (self.work.engine.registry(), self.drafts.keeper());
        thread::scope(|scope| {
            // While edits are on their way to the storage, the next ones are made.
            let mut storing: Option<ScopedJoinHandle<'_, Stored>> = None;
            for ids in todo.chunks(window) {
                let made = self.made(ids, &pool, &*stage);
                if let Some(before) = storing.take() {
                    self.settle(stored(before)?);
                }
                let made = made?;
                let stopped = made.len() < ids.len();
                let unstored = match made.is_empty() {
                    true => None,
                    false => self.measured(made)?,
                };
                if let Some(unstored) = unstored {
                    let drafts = &drafts;
                    storing = Some(scope.spawn(move || unstored.store(registry, drafts)));
                }
                if stopped {
                    // What was finished is kept before the work stops.
                    if let Some(last) = storing {
                        stored(last)?;
                    }
                    return Err(EngineError::Stopped);
                }
            }
            if let Some(last) = storing {
                self.settle(stored(last)?);
            }
            Ok(())
        })
    }

    /// Makes edits: fewer than those of all models when the work was asked to stop.
    fn made(
        &self,
        ids: &[&ModelId],
        pool: &ThreadPool,
        progress: &dyn ProgressStage,
    ) -> Result<Vec<Made>, EngineError> {
        let (work, method) = (&self.work, self.method);
        let parallel = method.runs_in_parallel();
        let open = |id: &&ModelId| work.model(id);
        let models: Vec<Result<Arc<LoadedModel>, EngineError>> =
            pool.install(|| ids.par_iter().map(open).collect());
        let models = models.into_iter().collect::<Result<Vec<_>, _>>()?;
        let collect = |model: &Arc<LoadedModel>| method.evidence(work, model.id());
        // Samples are run through one model after the other, since that uses every core; what cards keep of them is
        // too little for that. On all cores, whatever was asked for: sums of a network depend on how many work on it.
        let evidence: Vec<Result<Option<Evidence>, EngineError>> =
            match parallel && work.engine.data().is_none() {
                true => models.par_iter().map(collect).collect(),
                false => models.iter().map(collect).collect(),
            };
        let evidence = evidence.into_iter().collect::<Result<Vec<_>, _>>()?;
        let edit = |(model, evidence): (Arc<LoadedModel>, Option<Evidence>)| {
            work.engine.go_on()?;
            let start = Instant::now();
            let edit = method.edit(work, &model, evidence.as_ref())?;
            progress.advance(1);
            let seconds = start.elapsed().as_secs_f64();
            tracing::debug!(model = %model.id(), seconds, "edit");
            Ok(Made {
                model,
                edit,
                seconds,
            })
        };
        let edits: Vec<Result<Made, EngineError>> = if parallel {
            let models = models.into_par_iter().zip(evidence);
            pool.install(|| models.map(edit).collect())
        } else {
            models.into_iter().zip(evidence).map(edit).collect()
        };
        let not_begun =
            |made: &Result<Made, EngineError>| matches!(made, Err(EngineError::Stopped));
        edits.into_iter().filter(|made| !not_begun(made)).collect()
    }

    /// Takes up an edit that another run finished.
    fn taken_up(&mut self, outcome: ModelOutcome) -> Result<(), EngineError> {
        let id = outcome.before.clone();
        if let Some(digest) = outcome.digest_after {
            let wanted = self.options.keep_weights || self.kept.contains(&id);
            if wanted {
                let registry = self.work.engine.registry();
                let changed = self.work.model(&id)?.difference(registry, digest)?;
                self.remember(&id, changed);
            }
        }
        self.weigh(&outcome);
        self.todo.remove(&id);
        self.outcomes.insert(id, outcome);
        Ok(())
    }

    /// Remembers a model that lost too much.
    fn weigh(&mut self, outcome: &ModelOutcome) {
        let measured = outcome.loss.as_ref().and_then(LossCheck::measured);
        let limit = self.options.loss.limit();
        self.refused.extend(
            measured
                .filter(|loss| loss.excess(limit) > 0.0)
                .map(|loss| ModelLoss {
                    model: outcome.before.clone(),
                    loss: *loss,
                }),
        );
    }

    /// Refuses the request when a model lost too much, the worst first.
    pub(crate) fn check_losses(&mut self) -> Result<(), EngineError> {
        if self.refused.is_empty() {
            return Ok(());
        }
        let mut models = std::mem::take(&mut self.refused);
        models.sort_by(|a, b| b.loss.loss().total_cmp(&a.loss.loss()));
        Err(EngineError::LosesTooMuch {
            models,
            bound: self.options.loss,
        })
    }

    /// Measures what edits cost; returns them to be stored. From the first that costs too much on nothing is: the
    /// others are still worked out, so that all can be named.
    fn measured(&mut self, edits: Vec<Made>) -> Result<Option<Unstored>, EngineError> {
        let mut unstored = Unstored::default();
        for Made {
            model,
            edit,
            seconds,
        } in edits
        {
            let id = model.id();
            let seconds = seconds + self.seconds.get(id).copied().unwrap_or_default();
            let (mut edit, loss) = self.checked(&model, edit)?;
            let mut manifest = model.manifest.clone();
            let stored = std::mem::take(&mut edit.stored);
            if self.options.dry_run {
                self.unwritten += stored.values().filter_map(TensorRef::bytes).sum::<u64>();
            }
            manifest.tensors.extend(stored);
            let (outcome, tensors) = self.outcome(&model, edit, (loss, seconds));
            self.weigh(&outcome);
            if self.options.keep_weights || self.kept.contains(id) {
                self.remember(id, tensors.clone());
            }
            unstored.outcomes.push(outcome);
            unstored.models.push((manifest, tensors));
        }
        if self.options.dry_run || !self.refused.is_empty() {
            self.unwritten += unstored.bytes();
            self.settle(unstored.outcomes);
            return Ok(None);
        }
        Ok(Some(unstored))
    }

    /// These edits are made.
    fn settle(&mut self, outcomes: Vec<ModelOutcome>) {
        for outcome in outcomes {
            self.todo.remove(&outcome.before);
            self.outcomes.insert(outcome.before.clone(), outcome);
        }
    }

    /// Measures what an edit costs. Where that is too much, one that goes less deep is taken instead, if the
    /// method has one.
    fn checked(&self, model: &LoadedModel, edit: Edit) -> Result<(Edit, LossCheck), EngineError> {
        let checker = LossChecker {
            work: &self.work,
            learns_retained: self.work.learns_retained,
            bound: self.options.loss,
        };
        let limit = self.options.loss.limit();
        let loss = checker.check(model, &edit)?;
        let Some(measured) = loss.measured().filter(|loss| loss.excess(limit) > 0.0) else {
            return Ok((edit, loss));
        };
        let why = format!(
            "it would lose {:.1} points of retained accuracy, {:.1} are allowed",
            100.0 * measured.loss(),
            100.0 * limit
        );
        match self.method.shallower(&self.work, model, &edit, why)? {
            None => Ok((edit, loss)),
            Some(shallower) => {
                let loss = checker.check(model, &shallower)?;
                Ok((shallower, loss))
            }
        }
    }

    fn remember(&mut self, id: &ModelId, changed: BTreeMap<String, Tensor>) {
        if self.kept.contains(id) {
            self.work.edited.insert(id.clone(), changed.clone());
        }
        if self.options.keep_weights {
            self.changed.insert(id.clone(), changed);
        }
    }

    fn outcome(
        &self,
        model: &LoadedModel,
        edit: Edit,
        (loss, seconds): (LossCheck, f64),
    ) -> (ModelOutcome, BTreeMap<String, Tensor>) {
        let id = model.id();
        let card = self.work.cards.get(id);
        let outcome = ModelOutcome {
            before: id.clone(),
            after: self.becomes.get(id).unwrap_or(id).clone(),
            role: self.roles.role(id),
            initial: self.work.reached_by(id),
            digest_before: model.digest,
            digest_after: None,
            alpha: edit.alpha,
            lambda: edit.lambda,
            choice: edit.choice,
            tensors: edit.tensors,
            unmatched: edit.unmatched,
            inner: edit.inner,
            loss: Some(loss),
            matched: edit.matched,
            fallback_card: card.and_then(|card| card.fallback.as_ref().map(|f| f.of.clone())),
            seconds,
        };
        (outcome, edit.changed)
    }
}
