//! Threads of this process as workers that execute the parts of a plan.

use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, Scope};
use std::time::{Duration, Instant};

use umig::Shard;
use umig::dispatch::{Attempt, DispatchError, TaskResult, WorkerTask, Workers, dispatch};

use crate::error::EngineError;
use crate::outcome::{Done, ShardDone};
use crate::prepared::Prepared;

/// Shards for each worker: with several, a slow one is not waited for long.
const SHARDS_EACH: usize = 4;

/// The longest wait for a task that ends.
const LOOK: Duration = Duration::from_secs(1);

impl Prepared<'_> {
    /// Executes the plan in parts ([`Prepared::parts`]) by so many threads, each with its own way through registry
    /// and data, and publishes. A part that fails for a reason that may pass, such as storage that does not
    /// answer, is tried `max_retries` times more. `told` hears of every attempt, and whether it is tried again. What
    /// is published is what [`Prepared::run`] publishes, which is also the better choice where registry and data are
    /// on this machine: it uses all cores by itself.
    ///
    /// # Errors
    /// [`EngineError`] as for [`Prepared::run`]; what was finished is kept as drafts.
    pub fn run_by(
        &self,
        workers: NonZeroUsize,
        max_retries: u32,
        told: &mut dyn FnMut(&Attempt<ShardDone, EngineError>, bool),
    ) -> Result<Done, EngineError> {
        let of = u32::try_from(workers.get().saturating_mul(SHARDS_EACH)).unwrap_or(u32::MAX);
        let parts = self.parts(of).into_iter();
        let tasks: Vec<(Shard, usize)> = parts
            .map(|part| (part.shard, part.models.len()))
            .filter(|(_, models)| *models > 0)
            .collect();
        std::thread::scope(|scope| {
            let (sender, receiver) = channel();
            let mut threads = Threads {
                scope,
                prepared: self,
                room: workers.get(),
                sender,
                receiver,
            };
            dispatch(&mut threads, &tasks, max_retries, told).map_err(refusal)
        })?;
        self.run()
    }
}

fn refusal(error: DispatchError<EngineError>) -> EngineError {
    match error {
        DispatchError::Stopped(error)
        | DispatchError::Refused { error, .. }
        | DispatchError::GaveUp {
            error: Some(error), ..
        } => error,
        gave_up @ DispatchError::GaveUp { .. } => EngineError::Internal(gave_up.to_string()),
    }
}

/// A thread for each task that is at work.
struct Threads<'scope, 'env, 'p> {
    scope: &'scope Scope<'scope, 'env>,
    prepared: &'env Prepared<'p>,
    room: usize,
    sender: Sender<Attempt<ShardDone, EngineError>>,
    receiver: Receiver<Attempt<ShardDone, EngineError>>,
}

impl Workers for Threads<'_, '_, '_> {
    type Value = ShardDone;
    type Error = EngineError;

    fn room(&self) -> usize {
        self.room
    }

    fn submit(&mut self, task: WorkerTask) -> Result<(), EngineError> {
        let (prepared, sender) = (self.prepared, self.sender.clone());
        let work = move || {
            let start = Instant::now();
            let done = catch_unwind(AssertUnwindSafe(|| prepared.run_shard(task.shard)));
            let result = match done {
                Ok(Ok(done)) => TaskResult::Success(done),
                Ok(Err(error)) => TaskResult::Failed {
                    is_final: !error.may_pass(),
                    error,
                },
                Err(_) => TaskResult::WorkerDied("its thread panicked".into()),
            };
            // The receiver is gone only where the job was given up.
            let _ = sender.send(attempt(task, start.elapsed(), result));
        };
        let name = format!("shard {}", task.shard);
        if let Err(error) = Builder::new().name(name).spawn_scoped(self.scope, work) {
            let result = TaskResult::WorkerUnavailable(format!("no thread: {error}"));
            let _ = self.sender.send(attempt(task, Duration::ZERO, result));
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<Vec<Attempt<ShardDone, EngineError>>, EngineError> {
        match self.receiver.recv_timeout(LOOK) {
            Ok(first) => Ok(std::iter::once(first)
                .chain(self.receiver.try_iter())
                .collect()),
            Err(RecvTimeoutError::Timeout) => Ok(Vec::new()),
            Err(RecvTimeoutError::Disconnected) => {
                Err(EngineError::Internal("the workers are gone".into()))
            }
        }
    }

    /// Threads end by themselves: each looks at the [`crate::progress::Progress`] that asks for the stop.
    fn cancel(&mut self) {}
}

fn attempt(
    task: WorkerTask,
    took: Duration,
    result: TaskResult<ShardDone, EngineError>,
) -> Attempt<ShardDone, EngineError> {
    Attempt {
        task,
        node: None,
        seconds: took.as_secs_f64(),
        result,
    }
}
