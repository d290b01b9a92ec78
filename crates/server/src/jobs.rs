//! Jobs: taken from the catalog, one at a time. One that was cut off is taken up by the next server.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use disinherit::EngineError;
use disinherit::progress::{Progress, Stage};
use disinherit::registry::{
    ErasureRefusal, ErasureState, Job, JobKind, JobState, Registry, RegistryError,
};
use disinherit_desk::{Desk, DeskError};

use crate::app::App;

/// How often jobs are looked for: others may file them.
const LOOK: Duration = Duration::from_secs(1);

/// How often a job says that it goes on.
const BEAT: Duration = Duration::from_secs(2);

/// The longest text that a job says of itself, in characters.
const LONGEST: usize = 2000;

/// A worker on its own thread.
pub(crate) struct Worker {
    name: String,
    busy: Arc<Mutex<Option<i64>>>,
    ended: Arc<AtomicBool>,
}

impl Worker {
    /// Starts it.
    pub(crate) fn start(app: Arc<App>, name: String) -> std::io::Result<Self> {
        let busy = Arc::new(Mutex::new(None));
        let ended = Arc::new(AtomicBool::new(false));
        let worker = Self {
            name: name.clone(),
            busy: Arc::clone(&busy),
            ended: Arc::clone(&ended),
        };
        thread::Builder::new().name("jobs".into()).spawn(move || {
            while !app.is_stopping() {
                match app.settings.registry.take_job(&name) {
                    Ok(Some(job)) => {
                        *busy.lock().unwrap_or_else(PoisonError::into_inner) = Some(job.id);
                        work(&app, &name, &job);
                        *busy.lock().unwrap_or_else(PoisonError::into_inner) = None;
                    }
                    Ok(None) => thread::sleep(LOOK),
                    Err(error) => {
                        tracing::error!(%error, "jobs cannot be read");
                        thread::sleep(LOOK * 5);
                    }
                }
            }
            ended.store(true, Ordering::SeqCst);
        })?;
        Ok(worker)
    }

    /// Waits until the job that is worked on has ended, for so long; lets it wait for the next server then.
    pub(crate) fn finish(&self, registry: &Registry, patience: Duration) {
        let begun = Instant::now();
        while !self.ended.load(Ordering::SeqCst) && begun.elapsed() < patience {
            thread::sleep(Duration::from_millis(50));
        }
        let left = *self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(job) = left {
            let said = "the server stopped; the next one takes it up";
            let parked = registry.leave_job(job, &self.name, JobState::Waiting, said);
            tracing::warn!(job, ?parked, "a job is left to the next server");
        }
    }
}

fn work(app: &App, worker: &str, job: &Job) {
    let stages = Stages::default();
    let (over, wait) = channel::<()>();
    let done = thread::scope(|scope| {
        let stages = &stages;
        scope.spawn(move || {
            while wait.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
                // A beat that is missed is made up for by the next one.
                let _ = app
                    .settings
                    .registry
                    .hold_job(job.id, worker, &stages.text());
            }
        });
        let done = app.desk(&job.actor, stages, |desk, registry| {
            carry_out(app, desk, registry, job)
        });
        drop(over);
        done
    });
    let (state, said) = match &done {
        Ok(said) => (JobState::Done, said.clone()),
        Err(error) => (JobState::Failed, on_record(&error.to_string())),
    };
    app.metrics.job_ended(done.is_ok());
    if let Err(error) = app
        .settings
        .registry
        .leave_job(job.id, worker, state, &said)
    {
        // It is taken again after its lease, and found done.
        tracing::error!(%error, job = job.id, "the end of a job cannot be kept");
    }
}

/// Does what a job says, unless it was done before: its server may have been killed after the work and before
/// it could say so.
fn carry_out(
    app: &App,
    desk: &Desk<'_>,
    registry: &Registry,
    job: &Job,
) -> Result<String, DeskError> {
    let erasure = registry.erasure(job.erasure)?;
    match job.kind {
        JobKind::Run
            if erasure.state == ErasureState::Running && erasure.published_by_run().is_some() =>
        {
            Ok("published".into())
        }
        JobKind::Run => loop {
            match desk.run(job.erasure, false) {
                Ok(done) => break Ok(format!("{} models published", done.unlearned.models.len())),
                // The server before this one was killed: its run is free when it has been silent for long.
                Err(error) if is_claimed(&error) && !app.is_stopping() => thread::sleep(LOOK),
                Err(error) => break Err(error),
            }
        },
        JobKind::Verify if erasure.state == ErasureState::Verified => Ok("verified".into()),
        JobKind::Verify => {
            let (_, verdicts) = desk.verify(job.erasure, &app.settings.bar)?;
            Ok(format!("{} models judged", verdicts.len()))
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

/// A message as it is kept.
fn on_record(message: &str) -> String {
    let plain = message
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c });
    plain.take(LONGEST).collect()
}

/// The stage that a job is at.
#[derive(Debug, Default)]
struct Stages {
    now: Mutex<(String, u64, u64)>,
}

impl Stages {
    fn text(&self) -> String {
        let (title, done, total) = &*self.now.lock().unwrap_or_else(PoisonError::into_inner);
        match total {
            0 => title.clone(),
            total => format!("{title}: {done} of {total}"),
        }
    }
}

impl Progress for Stages {
    fn stage(&self, title: &str, total: u64) -> Box<dyn Stage + '_> {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = (title.to_owned(), 0, total);
        Box::new(Shown(self))
    }
}

struct Shown<'a>(&'a Stages);

impl Stage for Shown<'_> {
    fn advance(&self, steps: u64) {
        self.0.now.lock().unwrap_or_else(PoisonError::into_inner).1 += steps;
    }

    fn note(&self, _: &str) {}
}
