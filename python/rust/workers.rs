//! Workers that Python has, such as tasks of a Ray cluster, for the dispatch of parts.

use disinherit::umig::Shard;
use disinherit::umig::dispatch::{self, Attempt, DispatchError, TaskResult, WorkerTask, Workers};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::refused;

/// What Python's workers say of an ended attempt: shard, attempt, machine, seconds, how it ended, and with what:
/// a value (`success`), an exception (`failed`), or words (`worker_died`, `worker_unavailable`); for an exception
/// whether another attempt would end in the same way.
type Ended = (String, u32, Option<String>, f64, String, Py<PyAny>, bool);

/// An object with `room()`, `submit(shard, models, attempt)`, `wait()` and `cancel()`.
struct PythonWorkers<'py> {
    object: Bound<'py, PyAny>,
}

impl Workers for PythonWorkers<'_> {
    type Value = Py<PyAny>;
    type Error = PyErr;

    fn room(&self) -> usize {
        // An object that cannot say is given one task at a time; what is wrong with it shows when that is submitted.
        let said = self.object.call_method0("room");
        said.and_then(|room| room.extract()).unwrap_or(1)
    }

    fn submit(&mut self, task: WorkerTask) -> PyResult<()> {
        let arguments = (task.shard.to_string(), task.models, task.attempt);
        self.object.call_method1("submit", arguments).map(drop)
    }

    fn wait(&mut self) -> PyResult<Vec<Attempt<Py<PyAny>, PyErr>>> {
        let ended: Vec<Ended> = self.object.call_method0("wait")?.extract()?;
        ended.into_iter().map(|ended| self.attempt(ended)).collect()
    }

    fn cancel(&mut self) {
        // The job is over with an error already, which is the one to tell.
        if let Err(error) = self.object.call_method0("cancel") {
            error.write_unraisable(self.object.py(), Some(&self.object));
        }
    }
}

impl PythonWorkers<'_> {
    fn attempt(
        &self,
        (shard, attempt, node, seconds, outcome, payload, is_final): Ended,
    ) -> PyResult<Attempt<Py<PyAny>, PyErr>> {
        let payload = payload.into_bound(self.object.py());
        let result = match outcome.as_str() {
            "success" => TaskResult::Success(payload.unbind()),
            "failed" => TaskResult::Failed {
                error: PyErr::from_value(payload),
                is_final,
            },
            "worker_died" => TaskResult::WorkerDied(payload.extract()?),
            "worker_unavailable" => TaskResult::WorkerUnavailable(payload.extract()?),
            other => return Err(PyValueError::new_err(format!("no outcome `{other}`"))),
        };
        let shard = shard.parse().map_err(refused)?;
        let task = WorkerTask {
            shard,
            models: 0,
            attempt,
        };
        Ok(Attempt {
            task,
            node,
            seconds,
            result,
        })
    }
}

/// Has workers execute parts, each a shard and how many models it has; what each gave, in their order. `told` hears
/// of every attempt: its shard, its number, and whether it is tried again. `gave_up` makes the exception for a shard
/// that failed as often as was allowed, of the shard, the number of attempts, the last words, and the last exception.
#[pyfunction]
pub(crate) fn dispatch_parts(
    workers: Bound<'_, PyAny>,
    parts: Vec<(String, usize)>,
    max_retries: u32,
    told: Bound<'_, PyAny>,
    gave_up: Bound<'_, PyAny>,
) -> PyResult<Vec<Py<PyAny>>> {
    let parts = parts.into_iter();
    let tasks: Vec<(Shard, usize)> = parts
        .map(|(shard, models)| Ok((shard.parse().map_err(refused)?, models)))
        .collect::<PyResult<_>>()?;
    let mut failed = None;
    let mut workers = PythonWorkers { object: workers };
    let done = dispatch::dispatch(&mut workers, &tasks, max_retries, &mut |attempt, again| {
        let task = attempt.task;
        if let Err(error) = told.call1((task.shard.to_string(), task.attempt, again)) {
            failed.get_or_insert(error);
        }
    });
    match (failed, done) {
        (Some(error), _) | (None, Err(DispatchError::Stopped(error))) => Err(error),
        (None, Ok(values)) => Ok(values),
        (None, Err(DispatchError::Refused { error, .. })) => Err(error),
        (
            None,
            Err(DispatchError::GaveUp {
                shard,
                attempts,
                last,
                error,
            }),
        ) => {
            let said = (shard.to_string(), attempts, last, error);
            Err(PyErr::from_value(gave_up.call1(said)?))
        }
    }
}
