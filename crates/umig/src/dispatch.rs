//! Parts of a plan given to workers: who tries what again, and when it is over. What a worker is (a thread, a
//! process, a task of a cluster) is said by an implementation of [`Workers`] elsewhere.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use crate::shard::Shard;

/// What a worker is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerTask {
    /// The part of the plan.
    pub shard: Shard,
    /// How many models it has.
    pub models: usize,
    /// The attempt, counted from 1.
    pub attempt: u32,
}

/// How an attempt went. Failures are values: a worker that goes away ends its task and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskResult<V, E> {
    /// It was done.
    Success(V),
    /// The worker's process or machine went away; in words how.
    WorkerDied(String),
    /// No worker could be had for it; in words why.
    WorkerUnavailable(String),
    /// The worker refused or failed.
    Failed {
        /// With what.
        error: E,
        /// Whether another attempt would end in the same way.
        is_final: bool,
    },
}

/// An attempt that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt<V, E> {
    /// What was tried.
    pub task: WorkerTask,
    /// The worker's machine, where it is known.
    pub node: Option<String>,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// How it went.
    pub result: TaskResult<V, E>,
}

/// What workers say of attempts.
pub type AttemptOf<W> = Attempt<<W as Workers>::Value, <W as Workers>::Error>;

/// What is told of an attempt, and whether the task is tried again.
pub type Told<'a, W> = dyn FnMut(&AttemptOf<W>, bool) + 'a;

/// Those who execute tasks.
pub trait Workers: Sized {
    /// What a task gives.
    type Value;
    /// What a task fails with.
    type Error: fmt::Display;

    /// How many tasks may be given at a time.
    fn room(&self) -> usize;

    /// Gives a task to a worker, and does not wait for it.
    ///
    /// # Errors
    /// What makes all further work useless. A worker that cannot be had is a [`TaskResult`].
    fn submit(&mut self, task: WorkerTask) -> Result<(), Self::Error>;

    /// Waits until a task has ended, or for a moment. Each ended task is given once.
    ///
    /// # Errors
    /// What makes all further work useless, such as an interrupt.
    fn wait(&mut self) -> Result<Vec<AttemptOf<Self>>, Self::Error>;

    /// Stops the tasks that are at work.
    fn cancel(&mut self);
}

/// Why a job is not done. What its workers finished stays finished.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError<E: fmt::Display> {
    /// It was stopped, or nothing can be given to workers any more.
    #[error("{0}")]
    Stopped(E),
    /// A task failed in a way that another attempt would not change.
    #[error("{error}")]
    Refused {
        /// The shard.
        shard: Shard,
        /// With what.
        error: E,
    },
    /// A shard failed as often as was allowed.
    #[error("shard {shard} failed in {attempts} attempts, at last with: {last}")]
    GaveUp {
        /// The shard.
        shard: Shard,
        /// How often it was tried.
        attempts: u32,
        /// What the last attempt ended with.
        last: String,
        /// The same, where a worker said it.
        error: Option<E>,
    },
}

/// Has workers execute all tasks. A task that fails is tried `max_retries` times more unless another attempt
/// would end in the same way; once one has failed for good no other begins, and those at work end first.
/// `told` hears of every attempt, in the order in which they end, and whether it is tried again. Returns what
/// each task gave, in the order of `tasks`.
///
/// # Errors
/// [`DispatchError`].
pub fn dispatch<W: Workers>(
    workers: &mut W,
    tasks: &[(Shard, usize)],
    max_retries: u32,
    told: &mut Told<'_, W>,
) -> Result<Vec<W::Value>, DispatchError<W::Error>> {
    let waiting = tasks.iter().map(|&(shard, models)| WorkerTask {
        shard,
        models,
        attempt: 1,
    });
    let mut job = Job {
        waiting: waiting.collect(),
        running: 0,
        values: BTreeMap::new(),
        failed: None,
        max_retries,
    };
    if let Err(error) = job.run(workers, told) {
        workers.cancel();
        return Err(DispatchError::Stopped(error));
    }
    match job.failed {
        Some(failed) => Err(failed),
        None => Ok(job.values.into_values().collect()),
    }
}

/// A job on its way.
struct Job<V, E: fmt::Display> {
    waiting: VecDeque<WorkerTask>,
    running: usize,
    values: BTreeMap<Shard, V>,
    failed: Option<DispatchError<E>>,
    max_retries: u32,
}

impl<V, E: fmt::Display> Job<V, E> {
    fn run<W: Workers<Value = V, Error = E>>(
        &mut self,
        workers: &mut W,
        told: &mut dyn FnMut(&Attempt<V, E>, bool),
    ) -> Result<(), E> {
        loop {
            while self.failed.is_none() && self.running < workers.room().max(1) {
                let Some(task) = self.waiting.pop_front() else {
                    break;
                };
                workers.submit(task)?;
                self.running += 1;
            }
            if self.running == 0 {
                return Ok(());
            }
            for attempt in workers.wait()? {
                self.running = self.running.saturating_sub(1);
                let again = self.is_tried_again(&attempt);
                told(&attempt, again);
                self.end(attempt, again);
            }
        }
    }

    fn is_tried_again(&self, attempt: &Attempt<V, E>) -> bool {
        let may = attempt.task.attempt <= self.max_retries;
        match attempt.result {
            TaskResult::Success(_) | TaskResult::Failed { is_final: true, .. } => false,
            _ => may,
        }
    }

    fn end(&mut self, attempt: Attempt<V, E>, again: bool) {
        let WorkerTask {
            shard,
            attempt: number,
            ..
        } = attempt.task;
        if again {
            self.waiting.push_back(WorkerTask {
                attempt: number + 1,
                ..attempt.task
            });
            return;
        }
        let gave_up = |last: String, error: Option<E>| DispatchError::GaveUp {
            shard,
            attempts: number,
            last,
            error,
        };
        let failed = match attempt.result {
            TaskResult::Success(value) => {
                self.values.insert(shard, value);
                return;
            }
            TaskResult::Failed {
                error,
                is_final: true,
            } => DispatchError::Refused { shard, error },
            TaskResult::Failed { error, .. } => gave_up(error.to_string(), Some(error)),
            TaskResult::WorkerDied(how) => gave_up(how, None),
            TaskResult::WorkerUnavailable(why) => gave_up(why, None),
        };
        self.failed.get_or_insert(failed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Workers whose attempts go as was written down beforehand.
    struct Scripted {
        room: usize,
        /// For each attempt at a shard how it goes; after the last one all succeed.
        script: BTreeMap<(u32, u32), TaskResult<u32, String>>,
        running: Vec<WorkerTask>,
        most: usize,
        interrupted_after: Option<usize>,
        ended: usize,
        cancelled: bool,
    }

    impl Scripted {
        fn new(room: usize, script: BTreeMap<(u32, u32), TaskResult<u32, String>>) -> Self {
            Self {
                room,
                script,
                running: Vec::new(),
                most: 0,
                interrupted_after: None,
                ended: 0,
                cancelled: false,
            }
        }
    }

    impl Workers for Scripted {
        type Value = u32;
        type Error = String;

        fn room(&self) -> usize {
            self.room
        }

        fn submit(&mut self, task: WorkerTask) -> Result<(), String> {
            self.running.push(task);
            self.most = self.most.max(self.running.len());
            Ok(())
        }

        fn wait(&mut self) -> Result<Vec<Attempt<u32, String>>, String> {
            if self.interrupted_after == Some(self.ended) {
                return Err("interrupted".into());
            }
            // The one given last ends first: order must not matter.
            let Some(task) = self.running.pop() else {
                return Ok(Vec::new());
            };
            self.ended += 1;
            let result = self
                .script
                .remove(&(task.shard.number(), task.attempt))
                .unwrap_or(TaskResult::Success(task.shard.number() * 10));
            Ok(vec![Attempt {
                task,
                node: None,
                seconds: 0.0,
                result,
            }])
        }

        fn cancel(&mut self) {
            self.cancelled = true;
            self.running.clear();
        }
    }

    fn tasks(of: u32) -> Vec<(Shard, usize)> {
        Shard::all(of).map(|shard| (shard, 1)).collect()
    }

    fn failing(kind: u8) -> TaskResult<u32, String> {
        match kind {
            0 => TaskResult::WorkerDied("killed".into()),
            1 => TaskResult::WorkerUnavailable("no room".into()),
            _ => TaskResult::Failed {
                error: "busy".into(),
                is_final: false,
            },
        }
    }

    proptest! {
        /// Whatever fails no more often than is allowed ends in the same values as if nothing had failed.
        #[test]
        fn what_is_tried_again_gives_the_same(
            of in 1_u32..9,
            room in 0_usize..5,
            failures in proptest::collection::vec((1_u32..9, 0_u32..4, 0_u8..3), 0..8),
        ) {
            let mut script = BTreeMap::new();
            for (shard, times, kind) in failures {
                for attempt in 1..=times {
                    script.insert((shard, attempt), failing(kind));
                }
            }
            let failing = script.keys().filter(|(shard, _)| *shard <= of).count();
            let mut workers = Scripted::new(room, script);
            let mut heard = (0, 0);
            let values = dispatch(&mut workers, &tasks(of), 3, &mut |attempt, again| {
                let success = matches!(attempt.result, TaskResult::Success(_));
                heard.0 += usize::from(success);
                heard.1 += usize::from(again);
            }).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(values, (1..=of).map(|number| number * 10).collect::<Vec<_>>());
            prop_assert_eq!(heard, (of as usize, failing));
            prop_assert!(workers.most <= room.max(1));
            prop_assert!(!workers.cancelled);
        }
    }

    #[test]
    fn a_shard_that_fails_too_often_ends_the_job_and_the_others_end_first() {
        let script = (1..=3).map(|attempt| ((2, attempt), failing(0)));
        let mut workers = Scripted::new(2, script.collect());
        let ended = dispatch(&mut workers, &tasks(4), 2, &mut |_, _| ());
        let Err(error @ DispatchError::GaveUp { attempts: 3, .. }) = ended else {
            panic!("it went on: {ended:?}");
        };
        assert_eq!(
            error.to_string(),
            "shard 2/4 failed in 3 attempts, at last with: killed"
        );
        assert!(workers.running.is_empty() && !workers.cancelled);
    }

    #[test]
    fn a_refusal_is_not_tried_again() {
        let refusal = TaskResult::Failed {
            error: "unknown label".to_owned(),
            is_final: true,
        };
        let mut workers = Scripted::new(1, BTreeMap::from([((1, 1), refusal)]));
        let ended = dispatch(&mut workers, &tasks(3), 5, &mut |_, again| assert!(!again));
        assert!(
            matches!(ended, Err(DispatchError::Refused { error, .. }) if error == "unknown label")
        );
        assert_eq!(workers.ended, 1, "nothing else was begun");
    }

    #[test]
    fn an_interrupt_cancels_what_is_at_work() {
        let mut workers = Scripted::new(2, BTreeMap::new());
        workers.interrupted_after = Some(1);
        let ended = dispatch(&mut workers, &tasks(4), 3, &mut |_, _| ());
        assert!(matches!(ended, Err(DispatchError::Stopped(why)) if why == "interrupted"));
        assert!(workers.cancelled);
    }
}
