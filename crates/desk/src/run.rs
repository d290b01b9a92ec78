//! Running a request: as it was planned, once.

use std::time::Duration;

use disinherit::registry::{ErasureId, ErasureRun, ErasureState, ErasureStep, StepKind};
use disinherit::{Done, EngineError, RunOptions};

use crate::desk::Desk;
use crate::error::DeskError;
use crate::hold::holding;
use crate::plan::set_up;
use crate::scope::ErasureScope;

/// The longest reason of a failure that is kept, in characters.
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
        let registry = self.registry();
        let erasure = registry.erasure(id)?;
        erasure.check(StepKind::Run)?;
        let Some(plan) = &erasure.plan else {
            // No state from which a run begins is without one.
            return Err(erasure.refuse(StepKind::Run).into());
        };
        let request = self.request_of(&erasure)?;
        let kind = self.method_of(id, &plan.method)?;
        let method = set_up(kind, plan.loss_bound);
        let options = RunOptions {
            loss: plan.loss_bound,
            ..RunOptions::default()
        };
        let prepared = self.engine.prepare(&request, method.as_ref(), options)?;
        let asked = erasure.asked.clone();
        let now = ErasureScope::for_plan(registry, &prepared, asked, method.name())?;
        let models = self.scope(plan)?.differences(&now);
        if !models.is_empty() {
            return Err(DeskError::ScopeChanged {
                request: id,
                models,
            });
        }
        let begin = ErasureStep::Run {
            taken_over: take_over,
        };
        let begun = registry.step_erasure(id, begin, Some(erasure.last.operation))?;
        let run = ErasureRun {
            request: id,
            started: begun.last.operation,
        };
        let prepared = prepared.for_erasure(run);
        holding(registry, run, self.engine.stop(), || prepared.run()).map_err(|error| match error {
            EngineError::Stopped => self.stopped(run),
            error => {
                let error = DeskError::from(error);
                self.fail(run, &error);
                error
            }
        })
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

/// A message as a reason on record.
fn on_record(message: &str) -> String {
    let plain = message
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c });
    plain.take(LONGEST).collect()
}
