//! Running a request: as it was planned, once.

use std::time::Duration;

use disinherit::registry::{
    ErasureId, ErasureRequest, ErasureRun, ErasureState, ErasureStep, StepKind,
};
use disinherit::umig::{Part, Shard};
use disinherit::{Done, EngineError, Prepared, RunOptions, ShardDone};

use crate::desk::Desk;
use crate::error::DeskError;
use crate::hold::holding;
use crate::plan::set_up;
use crate::scope::ErasureScope;

/// The longest text that is kept of a run or a job, in characters.
const LONGEST: usize = 2000;

impl Desk<'_> {
    /// Edits the models of a request as planned and publishes the new versions, in one transaction with the
    /// request's step. A run that was stopped is taken up: what it finished is not computed again. A run
    /// that may be going on elsewhere is taken over only where `take_over` says so, or when it has been
    /// silent for a minute; it then publishes nothing.
    ///
    /// # Errors
    /// [`DeskError::ScopeChanged`] when the models have changed since the plan; [`DeskError::Cancelled`] when
    /// somebody cancelled it meanwhile; what the engine says. A run that had begun leaves the request failed,
    /// with the reason, and it can be run again. One that was asked to stop leaves it as it is, for the next
    /// run.
    pub fn run(&self, id: ErasureId, take_over: bool) -> Result<Done, DeskError> {
        self.run_after(id, take_over, || Ok(()))
    }

    /// The same, with some work first, while the run is kept as this one: others may edit its models by then
    /// ([`Desk::run_shard`]), and what they finished is not computed again.
    ///
    /// # Errors
    /// As [`Desk::run`]; a failure of that work is one of the run.
    pub fn run_after(
        &self,
        id: ErasureId,
        take_over: bool,
        before: impl FnOnce() -> Result<(), DeskError>,
    ) -> Result<Done, DeskError> {
        let registry = self.registry();
        let erasure = registry.erasure(id)?;
        erasure.check(StepKind::Run)?;
        self.prepared(&erasure, |prepared| {
            let begin = ErasureStep::Run {
                taken_over: take_over,
            };
            let begun = registry.step_erasure(id, begin, Some(erasure.last.operation))?;
            let run = ErasureRun {
                request: id,
                started: begun.last.operation,
            };
            let prepared = prepared.for_erasure(run);
            let work = || {
                before()?;
                Ok(prepared.run()?)
            };
            holding(registry, run, self.engine.stop(), work).map_err(|error| match error {
                DeskError::Engine(EngineError::Stopped) => self.stopped(run),
                error => {
                    self.fail(run, &error);
                    error
                }
            })
        })
    }

    /// The run of a request in so many shards, as every process finds them by itself.
    ///
    /// # Errors
    /// As [`Desk::run_shard`].
    pub fn shards(&self, id: ErasureId, of: u32) -> Result<Vec<Part>, DeskError> {
        self.prepared(&self.being_run(id)?, |prepared| Ok(prepared.parts(of)))
    }

    /// Edits the models of one shard for a run that goes on elsewhere, and keeps them for it. Nothing is
    /// published, and no step taken.
    ///
    /// # Errors
    /// [`DeskError::NotRunning`] where no run of the request goes on; otherwise as [`Desk::run`].
    pub fn run_shard(&self, id: ErasureId, shard: Shard) -> Result<ShardDone, DeskError> {
        self.prepared(&self.being_run(id)?, |prepared| {
            Ok(prepared.run_shard(shard)?)
        })
    }

    /// A request whose run goes on.
    fn being_run(&self, id: ErasureId) -> Result<ErasureRequest, DeskError> {
        let erasure = self.registry().erasure(id)?;
        match erasure.is_being_run() {
            true => Ok(erasure),
            false => Err(DeskError::NotRunning {
                request: id,
                state: erasure.state,
            }),
        }
    }

    /// Does something with a request as it was planned, where it still is what was planned.
    fn prepared<T>(
        &self,
        erasure: &ErasureRequest,
        work: impl FnOnce(Prepared<'_>) -> Result<T, DeskError>,
    ) -> Result<T, DeskError> {
        let Some(plan) = &erasure.plan else {
            // No state from which a run begins is without one.
            return Err(erasure.refuse(StepKind::Run).into());
        };
        let request = self.request_of(erasure)?;
        let kind = self.method_of(erasure.id, &plan.method)?;
        let method = set_up(kind, plan.loss_bound);
        let options = RunOptions {
            loss: plan.loss_bound,
            ..RunOptions::default()
        };
        let prepared = self.engine.prepare(&request, method.as_ref(), options)?;
        let asked = erasure.asked.clone();
        let now = ErasureScope::for_plan(self.registry(), &prepared, asked, method.name())?;
        let models = self.scope(plan)?.differences(&now);
        match models.is_empty() {
            true => work(prepared),
            false => Err(DeskError::ScopeChanged {
                request: erasure.id,
                models,
            }),
        }
    }

    /// What a run says that was asked to stop. Where it was not cancelled, the next one may begin at once.
    fn stopped(&self, run: ErasureRun) -> DeskError {
        let registry = self.registry();
        // Where this fails, the next one waits until this one has been silent for long.
        let _ = registry.hold_run(run, Duration::ZERO);
        match registry.erasure(run.request) {
            Ok(erasure) if erasure.state == ErasureState::Cancelled => DeskError::Cancelled {
                request: run.request,
                reason: erasure.reason.unwrap_or_default(),
            },
            _ => EngineError::Stopped.into(),
        }
    }

    /// Puts on record why a run has ended, unless it is another's by now: then that one goes on.
    fn fail(&self, run: ErasureRun, error: &DeskError) {
        let registry = self.registry();
        let own = registry.erasure(run.request).is_ok_and(|erasure| {
            let last = erasure.run.map(|stamp| stamp.operation);
            last == Some(run.started)
        });
        if own {
            let step = ErasureStep::Fail {
                reason: on_record(&error.to_string()),
            };
            // Where this fails too, the error itself says enough: the run can be taken over.
            let _ = registry.step_erasure(run.request, step, None);
        }
    }
}

/// A message as it is kept.
pub(crate) fn on_record(message: &str) -> String {
    let plain = message
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c });
    plain.take(LONGEST).collect()
}
