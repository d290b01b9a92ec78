//! Relearning: how many steps bring the forgotten classes back?

use disinherit_nets::StateDict;
use serde::{Deserialize, Serialize};

use super::descent::{Look, Relearner, Run};
use super::estimate::Estimate;
use super::evaluation_set::{EvaluationSet, Observation};
use super::head_alone::head_alone;
use super::neutral_row::with_neutral_rows;
use super::sampling::shuffled;
use crate::engine::Engine;
use crate::error::EngineError;

/// Each seed is another order of the samples.
const ORDERS: [u64; 2] = [1, 2];

/// How fast the forgotten classes come back (after Chundawat et al., arXiv:2201.05629): plain
/// gradient descent, rate 0.01, 16 forget and 16 retained training samples a step, until held-out
/// accuracy on the forgotten classes is half of what it was before unlearning.
///
/// From the head as it is, `steps` say above all how far down the forgotten rows were set: a mask
/// with a bias that is low enough never comes back. `reset` says what the layers below still hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Relearning {
    /// Steps after which it was back, from the head as it is; `None` when it was not after `limit`.
    pub steps: Option<usize>,
    /// Steps that were tried; 0 where only `reset` was measured.
    pub limit: usize,
    /// The accuracy that counts as back.
    pub bound: f64,
    /// The same from a neutral row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset: Option<ResetRelearning>,
}

/// Relearning from a neutral row: the forgotten classes' rows of the head are first set to the mean
/// of the retained ones. Gradients of a tensor are shortened to a norm of 10, batch statistics stay
/// as they are, and steps are interpolated between looks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ResetRelearning {
    /// Steps until half of the accuracy was back, over orders of the samples. An order that never
    /// came back counts with `limit`.
    pub steps: Estimate,
    /// Steps that were tried, at most.
    pub limit: usize,
    /// Orders that never came back.
    pub never: usize,
    /// Whether the head alone was trained, on features that stayed as they were: of a network that is
    /// not trained here, or whose head alone is known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub head_alone: bool,
}

/// Relearns from some weights, both ways; `None` where there is no forget data to train on or to
/// look at, or the class was not known before. Of a network that runs elsewhere the head alone is
/// trained, on the features that were `seen`.
pub(super) fn relearn(
    engine: &Engine<'_>,
    set: &EvaluationSet,
    state: &StateDict,
    seen: &Observation,
    known_before: Option<f64>,
) -> Result<Option<Relearning>, EngineError> {
    let alone = head_alone(set, state, seen)?;
    let (set, state) = match &alone {
        Some(alone) => (&alone.set, &alone.state),
        None => (set, state),
    };
    let Some(relearner) = Relearner::new(engine, set, known_before) else {
        return Ok(None);
    };
    let looks = relearner.run(&Run {
        start: state,
        forget: &set.own.forget,
        retain: &set.own.retain,
        seed: 0,
        keep_statistics: false,
    })?;
    let last = looks.last().copied().unwrap_or_default();
    let back = last.accuracy >= relearner.bound();
    Ok(Some(Relearning {
        steps: back.then_some(last.steps),
        limit: if back { Relearner::LIMIT } else { last.steps },
        bound: relearner.bound(),
        reset: reset(&relearner, set, state)?,
    }))
}

/// Relearns from a neutral row alone; `None` as [`relearn`], or where there is no such row.
pub(super) fn relearn_reset(
    engine: &Engine<'_>,
    set: &EvaluationSet,
    state: &StateDict,
    seen: &Observation,
    known_before: Option<f64>,
) -> Result<Option<ResetRelearning>, EngineError> {
    let alone = head_alone(set, state, seen)?;
    let (set, state) = match &alone {
        Some(alone) => (&alone.set, &alone.state),
        None => (set, state),
    };
    match Relearner::new(engine, set, known_before) {
        Some(relearner) => reset(&relearner, set, state),
        None => Ok(None),
    }
}

fn reset(
    relearner: &Relearner<'_>,
    set: &EvaluationSet,
    state: &StateDict,
) -> Result<Option<ResetRelearning>, EngineError> {
    let Some(start) = with_neutral_rows(set, state) else {
        return Ok(None);
    };
    let at_start = Look {
        steps: 0,
        accuracy: relearner.accuracy(&start)?,
    };
    let mut found = Vec::with_capacity(ORDERS.len());
    for order in ORDERS {
        let looks = relearner.run(&Run {
            start: &start,
            forget: &shuffled(&set.own.forget, order),
            retain: &shuffled(&relearner.known_retain(), order),
            seed: order << 32,
            keep_statistics: true,
        })?;
        let looks = [&[at_start], &looks[..]].concat();
        found.push(back_after(&looks, relearner.bound()));
    }
    let limit = Relearner::LIMIT;
    let steps: Vec<f64> = found.iter().map(|f| f.unwrap_or(limit as f64)).collect();
    let never = found.iter().filter(|steps| steps.is_none()).count();
    Ok(Estimate::new(&steps).map(|steps| ResetRelearning {
        steps,
        limit,
        never,
        head_alone: set.model.is_head_only(),
    }))
}

/// The step at which the accuracy reached the bound, by a line between the looks around it.
fn back_after(looks: &[Look], bound: f64) -> Option<f64> {
    let at = looks.iter().position(|look| look.accuracy >= bound)?;
    let now = looks[at];
    let Some(before) = at.checked_sub(1).map(|at| looks[at]) else {
        return Some(now.steps as f64);
    };
    let way = (bound - before.accuracy) / (now.accuracy - before.accuracy);
    Some(before.steps as f64 + way * (now.steps - before.steps) as f64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn steps_are_interpolated_between_looks() {
        let looks = [(0, 0.0), (4, 0.2), (8, 0.6)];
        let looks = looks.map(|(steps, accuracy)| Look { steps, accuracy });
        assert!((back_after(&looks, 0.4).unwrap() - 6.0).abs() < 1e-12);
        assert!((back_after(&looks, 0.2).unwrap() - 4.0).abs() < 1e-12);
        assert_eq!(back_after(&looks, 0.7), None);
        // What is named from the start needs no step.
        assert_eq!(back_after(&looks, 0.0), Some(0.0));
    }

    #[test]
    fn what_was_measured_before_is_read() {
        let old = serde_json::json!({"steps": 3, "limit": 64, "bound": 0.5});
        let read: Relearning = serde_json::from_value(old.clone()).unwrap();
        assert_eq!((read.steps, read.reset), (Some(3), None));
        assert_eq!(serde_json::to_value(read).unwrap(), old);
    }
}
