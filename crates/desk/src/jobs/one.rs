//! One job: what it says is done, while the catalog hears that it goes on.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use disinherit::EngineError;
use disinherit::progress::Stop;
use disinherit::registry::{
    ErasureId, ErasureRefusal, ErasureState, Job, JobKind, JobState, Registry, RegistryError,
};

use crate::desk::Desk;
use crate::error::DeskError;
use crate::jobs::stages::Stages;
use crate::jobs::workplace::{Cluster, Watch, Workplace};
use crate::run::on_record;

/// How often jobs are looked for, which others may file; and whether a run is free that another worker began.
pub(super) const LOOK: Duration = Duration::from_secs(1);

/// How often a job says that it goes on, and hears whether it was cancelled.
const BEAT: Duration = Duration::from_secs(2);

/// What a job says that is left to the next worker.
pub(super) const LEFT: &str = "its worker stopped; the next one takes it up";

/// A job that was worked on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobEnd {
    /// The job as it was taken.
    pub job: Job,
    /// How it ended: done, failed or cancelled; or that it waits for the next worker.
    pub state: JobState,
    /// What was done, or why it was not.
    pub said: String,
}

/// Works on a job until it has ended or is asked to stop, and puts on record how.
pub(super) fn work(place: &dyn Workplace, worker: &str, job: Job, stop: &Arc<Stop>) -> JobEnd {
    let registry = place.registry();
    let stages = Arc::new(Stages::default());
    let (over, wait) = channel::<()>();
    let done = thread::scope(|scope| {
        let (said, id) = (&stages, job.id);
        scope.spawn(move || {
            while wait.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                // A beat that is missed is made up for by the next one. A job that was cancelled, or is
                // another worker's by now, is not worked on for nothing.
                if matches!(registry.hold_job(id, worker, &said.text()), Ok(false)) {
                    stop.ask();
                }
            }
        });
        let engine = place.engine(&job.actor, &*stages, stop);
        let watch = Watch::new(&stages, stop);
        let done = carry_out(&Desk::new(&engine), place, &job, &watch);
        drop(over);
        done
    });
    let (state, said) = match &done {
        Ok(said) => (JobState::Done, said.clone()),
        // Where it was cancelled, that is on record already.
        Err(error) if is_stopped(error) => (JobState::Waiting, LEFT.to_owned()),
        Err(error) => (JobState::Failed, on_record(&error.to_string())),
    };
    match registry.leave_job(job.id, worker, state, &said) {
        Ok(true) => JobEnd { job, state, said },
        Ok(false) => as_recorded(registry, job),
        Err(error) => {
            // It is taken again after its lease, and found done.
            tracing::error!(%error, job = job.id, "the end of a job cannot be kept");
            JobEnd { job, state, said }
        }
    }
}

/// How a job ended that is not this worker's any more.
fn as_recorded(registry: &Registry, job: Job) -> JobEnd {
    let jobs = registry.jobs(job.erasure).unwrap_or_default();
    let found = jobs.into_iter().find(|known| known.id == job.id);
    let (state, said) = found.map_or_else(
        || (JobState::Waiting, LEFT.to_owned()),
        |found| (found.state, found.said),
    );
    JobEnd { job, state, said }
}

/// Does what a job says, unless it was done before: its worker may have been killed after the work and before
/// it could say so.
fn carry_out(
    desk: &Desk<'_>,
    place: &dyn Workplace,
    job: &Job,
    watch: &Watch,
) -> Result<String, DeskError> {
    let erasure = desk.registry().erasure(job.erasure)?;
    match job.kind {
        JobKind::Run
            if erasure.state == ErasureState::Running && erasure.published_by_run().is_some() =>
        {
            Ok("published".into())
        }
        JobKind::Run => run(desk, place.cluster(), job.erasure, watch),
        JobKind::Verify if erasure.state == ErasureState::Verified => Ok("verified".into()),
        JobKind::Verify => {
            let bar = place.bar();
            let (_, verdicts) = match place.cluster() {
                None => desk.verify(job.erasure, &bar)?,
                Some(cluster) => desk.verify_by(job.erasure, &bar, |models| {
                    cluster.judge(job.erasure, models, watch)
                })?,
            };
            Ok(format!("{} models judged", verdicts.len()))
        }
    }
}

/// Runs a request, by a cluster as far as there is one.
fn run(
    desk: &Desk<'_>,
    cluster: Option<&dyn Cluster>,
    request: ErasureId,
    watch: &Watch,
) -> Result<String, DeskError> {
    let edit = || cluster.map_or(Ok(()), |cluster| cluster.edit(request, watch));
    loop {
        match desk.run_after(request, false, edit) {
            Ok(done) => return Ok(format!("{} models published", done.unlearned.models.len())),
            // The worker before this one was killed: its run is free when it has been silent for long.
            Err(error) if is_claimed(&error) && !watch.is_stopped() => thread::sleep(LOOK),
            Err(error) if is_claimed(&error) => return Err(EngineError::Stopped.into()),
            Err(error) => return Err(error),
        }
    }
}

fn is_claimed(error: &DeskError) -> bool {
    matches!(
        error,
        DeskError::Engine(EngineError::Registry(RegistryError::Refused {
            reason: ErasureRefusal::Claimed { .. },
            ..
        }))
    )
}

fn is_stopped(error: &DeskError) -> bool {
    matches!(
        error,
        DeskError::Engine(EngineError::Stopped) | DeskError::Cancelled { .. }
    )
}
