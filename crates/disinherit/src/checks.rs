//! What is checked of a request before anything is planned.

use disinherit_registry::LossBound;
use umig::{Forget, Umig};

use crate::engine::Engine;
use crate::error::{EngineError, Hint};
use crate::method::Method;
use crate::plan::check_labels;
use crate::run_options::RunOptions;

/// The graph, where it can be asked to forget this, and the method can.
///
/// # Errors
/// [`EngineError`] when it cannot.
pub(crate) fn graph_for(
    engine: &Engine<'_>,
    forget: &Forget,
    method: &dyn Method,
    options: RunOptions,
) -> Result<Umig, EngineError> {
    method.check(forget)?;
    check_bound(options.loss)?;
    let graph = engine.registry().graph_for(forget)?;
    check_labels(&graph, forget)?;
    Ok(graph)
}

/// Refuses a method that works on data where there is none.
///
/// # Errors
/// [`EngineError::NeedsData`].
pub(crate) fn check_data(engine: &Engine<'_>, method: &dyn Method) -> Result<(), EngineError> {
    if method.needs_data() && engine.data().is_none() {
        return Err(EngineError::NeedsData {
            why: format!("`{}` works on training data", method.name()),
            hint: Some(Hint::GiveData),
        });
    }
    Ok(())
}

/// Refuses a bound that is no share.
fn check_bound(bound: LossBound) -> Result<(), EngineError> {
    let mut given = [Some(bound.target), bound.accepted].into_iter().flatten();
    match given.find(|share| !(0.0..=1.0).contains(share)) {
        None => Ok(()),
        Some(share) => Err(EngineError::Setting(format!(
            "a loss of retained accuracy is a share between 0 and 1 (0.01 is a point), not {share}"
        ))),
    }
}
