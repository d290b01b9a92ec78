//! A plan on its way: stages one after the other, finished edits kept as drafts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use disinherit_formats::Tensor;
use disinherit_registry::{LossCheck, ModelOutcome};
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
use crate::run_options::RunOptions;
use crate::work::Work;

/// Models whose samples or inner layers are held at the same time.
const FEW: usize = 16;

/// Models whose heads are held at the same time.
const MANY: usize = 256;

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
    /// Executes the tasks of a stage: those that run networks one after the other, since a forward
    /// pass uses every core, and edits beside each other where the method allows it.
    pub(crate) fn stage(&mut self, stage: &Stage) -> Result<(), EngineError> {
        let mut edits = Vec::new();
        for task in &stage.tasks {
            match task {
                Task::Card { model } => self.card(model)?,
                Task::ForgetFisher { model, .. } => self.forget_fisher(model)?,
                Task::Difference { model } => self.difference(model)?,
                Task::Edit { model, .. } => edits.push(model),
                // That is done when everything is published.
                Task::Retire { .. } => {}
            }
        }
        self.edits(&edits)
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
        let difference = self.method.difference(&self.work, model)?;
        self.work.differences.insert(id.clone(), difference);
        let seconds = start.elapsed().as_secs_f64();
        self.seconds.insert(id.clone(), seconds);
        Ok(())
    }

    fn edits(&mut self, ids: &[&ModelId]) -> Result<(), EngineError> {
        if ids.is_empty() {
            return Ok(());
        }
        let stage = self
            .work
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
        let parallel = self.method.runs_in_parallel();
        let heads_only = self.work.selected.values().all(|s| s.inner.is_empty());
        let window = match (parallel, heads_only && self.work.engine.data().is_none()) {
            (false, _) => 1,
            (true, false) => FEW,
            (true, true) => MANY,
        };
        let pool = pool(self.options.jobs)?;
        for models in todo.chunks(window) {
            let evidence: Vec<Option<Evidence>> = models
                .iter()
                .map(|model| self.method.evidence(&self.work, model.id()))
                .collect::<Result<_, _>>()?;
            let (work, method) = (&self.work, self.method);
            let edit = |(model, evidence): (&&LoadedModel, &Option<Evidence>)| {
                let start = Instant::now();
                let edit = method.edit(work, model, evidence.as_ref())?;
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
        if self.options.dry_run {
            return Ok(false);
        }
        let finished = self.drafts.get::<ModelOutcome>(&id.to_string());
        let Some(outcome) = finished.filter(|o| Some(&o.after) == self.becomes.get(id)) else {
            return Ok(false);
        };
        if let Some(digest) = outcome.digest_after {
            let wanted = self.options.keep_weights || self.kept.contains(id);
            if wanted {
                let registry = self.work.engine.registry();
                let changed = self.work.model(id)?.difference(registry, digest)?;
                self.remember(id, changed);
            }
        }
        self.weigh(&outcome);
        self.outcomes.insert(id.clone(), outcome);
        Ok(true)
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

    /// Measures what edits cost, stores them, and keeps them as drafts, with their outcomes. From the first
    /// that costs too much on nothing is stored: the others are still worked out, so that all can be named.
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
            let (edit, loss) = self.checked(model, edit)?;
            let (outcome, tensors) = self.outcome(model, edit, (loss, seconds));
            self.weigh(&outcome);
            if self.options.keep_weights || self.kept.contains(id) {
                self.remember(id, tensors.clone());
            }
            outcomes.push(outcome);
            changed.push(tensors);
        }
        if self.options.dry_run || !self.refused.is_empty() {
            let tensors = changed.iter().flat_map(BTreeMap::values);
            self.unwritten += tensors.map(|t| t.bytes.len() as u64).sum::<u64>();
        } else {
            let manifests = models.iter().map(|model| model.manifest.clone());
            let registry = self.work.engine.registry();
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
