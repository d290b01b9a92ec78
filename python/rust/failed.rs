//! Failures of work that may have run on data of Python's own, as exceptions.

use disinherit::EngineError;
use disinherit_desk::DeskError;
use pyo3::prelude::*;

use crate::data_sets::Data;
use crate::errors::{StepRefused, raised};

/// A failure on some data as an exception: what Python raised itself, where that is what failed.
pub(crate) fn raised_by(data: Option<&Data>, error: EngineError) -> PyErr {
    match data {
        Some(data) => data.raised(error),
        None => raised(error),
    }
}

/// A failure of the desk, likewise.
pub(crate) fn at_desk(error: DeskError, data: Option<&Data>) -> PyErr {
    let hint = match error.hint() {
        Some(disinherit_desk::Hint::PlanAgain { request }) => {
            format!(
                "; plan it again with `Requests.plan({request})`; it needs another approval then"
            )
        }
        _ => String::new(),
    };
    match error {
        DeskError::Engine(error) => raised_by(data, error),
        other => StepRefused::new_err(format!("{other}{hint}")),
    }
}
