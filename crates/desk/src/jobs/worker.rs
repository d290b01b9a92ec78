//! A worker: takes jobs, one after the other, and leaves in good order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use disinherit::progress::Stop;
use disinherit::registry::{Job, JobState, RegistryError};
use rand::TryRng;

use crate::jobs::one::{JobEnd, LEFT, LOOK, work};
use crate::jobs::workplace::Workplace;

/// How long a job that was asked to stop may take to reach its next task.
const WINDING_DOWN: Duration = Duration::from_secs(5);

/// Until when a worker takes jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Until it is told to stop.
    Told,
    /// Until no job waits that it could take.
    NoneWaits,
    /// Until one was worked on, or none waits.
    One,
}

/// What a worker tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobNews {
    /// It has taken a job.
    Taken(Job),
    /// A job that it worked on has ended, or is left to the next one.
    Ended(JobEnd),
}

/// A name that no other worker has.
///
/// # Errors
/// Where the system gives no random numbers.
pub fn worker_name() -> std::io::Result<String> {
    let mut seed = [0; 8];
    let filled = rand::rngs::SysRng.try_fill_bytes(&mut seed);
    filled.map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(format!("{:016x}", u64::from_ne_bytes(seed)))
}

/// Takes jobs, one after the other.
pub struct Worker {
    name: String,
    place: Arc<dyn Workplace>,
    leaving: AtomicBool,
    ended: AtomicBool,
    /// The job that is worked on, and what asks it to stop.
    at: Mutex<Option<(i64, Arc<Stop>)>>,
}

impl Worker {
    /// A worker with a name that no other one has.
    ///
    /// # Errors
    /// Where the system gives no random numbers.
    pub fn new(place: Arc<dyn Workplace>) -> std::io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            name: worker_name()?,
            place,
            leaving: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            at: Mutex::new(None),
        }))
    }

    /// The name by which it takes jobs.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Takes jobs on this thread, and tells of each.
    ///
    /// # Errors
    /// The catalog's, unless it is to go on until it is told to stop: it tries again then.
    pub fn run(&self, until: Until, mut told: impl FnMut(JobNews)) -> Result<(), RegistryError> {
        let ended = self.take_all(until, &mut told);
        self.ended.store(true, Ordering::SeqCst);
        ended
    }

    fn take_all(&self, until: Until, told: &mut dyn FnMut(JobNews)) -> Result<(), RegistryError> {
        while !self.leaving.load(Ordering::SeqCst) {
            match self.place.registry().take_job(&self.name) {
                Ok(Some(job)) => {
                    let stop = Arc::new(Stop::default());
                    *self.now() = Some((job.id, Arc::clone(&stop)));
                    told(JobNews::Taken(job.clone()));
                    let end = work(&*self.place, &self.name, job, &stop);
                    *self.now() = None;
                    told(JobNews::Ended(end));
                    if until == Until::One {
                        return Ok(());
                    }
                }
                Ok(None) if until == Until::Told => thread::sleep(LOOK),
                Ok(None) => return Ok(()),
                Err(error) if until == Until::Told => {
                    tracing::error!(%error, "jobs cannot be read");
                    thread::sleep(LOOK * 5);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn now(&self) -> std::sync::MutexGuard<'_, Option<(i64, Arc<Stop>)>> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes no job any more.
    fn leave(&self) {
        self.leaving.store(true, Ordering::SeqCst);
    }

    /// Waits until the job that is worked on has ended, for so long; then asks it to stop at its next task,
    /// and lets it wait for the next worker.
    pub fn finish(&self, patience: Duration) {
        self.leave();
        if self.has_ended(patience) {
            return;
        }
        if let Some((_, stop)) = &*self.now() {
            stop.ask();
        }
        if self.has_ended(WINDING_DOWN) {
            return;
        }
        let left = self.now().as_ref().map(|(job, _)| *job);
        if let Some(job) = left {
            let registry = self.place.registry();
            let parked = registry.leave_job(job, &self.name, JobState::Waiting, LEFT);
            tracing::warn!(job, ?parked, "a job is left to the next worker");
        }
    }

    fn has_ended(&self, within: Duration) -> bool {
        let begun = Instant::now();
        while !self.ended.load(Ordering::SeqCst) && begun.elapsed() < within {
            thread::sleep(Duration::from_millis(50));
        }
        self.ended.load(Ordering::SeqCst)
    }
}
