//! Workers that are gone.

use std::time::Duration;

use disinherit::registry::{ErasureId, ErasureRun, JobState, Registry, RegistryError};

use crate::jobs::one::LEFT;

/// Leaves a job to the next worker, which may begin at once, or ends it for a reason (`failed`). Only who knows
/// that its worker is gone (`worker`, by name), because that was a process of theirs, may do so: everybody else
/// waits until it has been silent for long. Returns whether the job was its.
///
/// # Errors
/// [`RegistryError`] when the catalog cannot be written.
pub fn release_job(
    registry: &Registry,
    worker: &str,
    (job, erasure): (i64, ErasureId),
    failed: Option<&str>,
) -> Result<bool, RegistryError> {
    let (state, said) = match failed {
        Some(why) => (JobState::Failed, why),
        None => (JobState::Waiting, LEFT),
    };
    let released = registry.leave_job(job, worker, state, said)?;
    let erasure = registry.erasure(erasure)?;
    if released
        && erasure.is_being_run()
        && let Some(run) = erasure.run
    {
        // A run of somebody else says within seconds that it goes on.
        let run = ErasureRun {
            request: erasure.id,
            started: run.operation,
        };
        registry.hold_run(run, Duration::ZERO)?;
    }
    Ok(released)
}
