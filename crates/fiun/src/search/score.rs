//! How well an edited model names the labels of forget and retained samples, and what to aim at.

use serde::{Deserialize, Serialize};

use crate::error::{FisherError, expect_len};
use crate::kernel::matrix::{MatrixRef, argmax};

/// The share of forget samples that a threshold is judged by.
const TAIL: f64 = 0.95;

/// What the choice of alpha aims at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The accuracy on the forget samples must be at most this.
    pub forget: f64,
    /// The accuracy on the retained samples may fall by at most this.
    pub retain_loss: f64,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            forget: 0.0,
            retain_loss: 0.01,
        }
    }
}

/// One tried pair of threshold and dampening constant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The threshold.
    pub alpha: f64,
    /// The dampening constant.
    pub lambda: f64,
    /// The accuracy on the forget samples, 0 to 1.
    pub forget: f64,
    /// The accuracy on the retained samples, 0 to 1.
    pub retain: f64,
    /// The probability that a forget sample's own label still gets: the 95th percentile over the
    /// forget samples, since it is the most stubborn ones that a model goes on recognising.
    pub forget_probability: f64,
    /// Parameters selected.
    pub selected: u64,
}

/// Tells how well logits name the labels of forget and retained samples: a [`Trial`] without its
/// threshold.
///
/// # Errors
/// [`FisherError::Shape`] when there is not a label and a mark for each row of `logits`.
pub fn score_trial(
    logits: MatrixRef<'_>,
    labels: &[u32],
    is_forget: &[bool],
) -> Result<Trial, FisherError> {
    expect_len("the label list", labels.len(), logits.rows())?;
    expect_len("the forget mask", is_forget.len(), logits.rows())?;
    let (mut right, mut count) = ([0usize; 2], [0usize; 2]);
    let mut probabilities = Vec::new();
    for (sample, &label) in labels.iter().enumerate() {
        let row = logits.row(sample);
        let Some(own) = row.get(label as usize) else {
            return Err(FisherError::Label {
                sample,
                label,
                classes: row.len(),
            });
        };
        let group = usize::from(is_forget[sample]);
        count[group] += 1;
        right[group] += usize::from(argmax(row) == label as usize);
        if group == 1 {
            let sum: f64 = row.iter().map(|z| f64::from(z - own).exp()).sum();
            probabilities.push(1.0 / sum);
        }
    }
    let share = |group: usize| right[group] as f64 / count[group].max(1) as f64;
    Ok(Trial {
        alpha: 0.0,
        lambda: 1.0,
        forget: share(1),
        retain: share(0),
        forget_probability: quantile(&mut probabilities, TAIL),
        selected: 0,
    })
}

/// The smallest value that at least this share of the values do not exceed; 0 without values.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = (values.len() as f64 * share).ceil() as usize;
    values.get(place.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// By how much a trial misses the target, both misses added; at most 0 when it meets it.
pub(super) fn shortfall(trial: &Trial, retain_before: f64, target: Target) -> f64 {
    let forget = (trial.forget - target.forget).max(0.0);
    let retain = (retain_before - target.retain_loss - trial.retain).max(0.0);
    forget + retain
}

/// Lower is better: first the target, then the probability left on the forgotten labels against
/// the retained accuracy. Where the target leaves some accuracy on purpose, the probability left
/// is not held against a trial.
pub(super) fn rank(trial: &Trial, retain_before: f64, target: Target) -> (f64, f64) {
    let missed = shortfall(trial, retain_before, target);
    let left = if target.forget > 0.0 {
        0.0
    } else {
        trial.forget_probability
    };
    (missed, left - trial.retain)
}

pub(super) fn best_index(curve: &[Trial], retain_before: f64, target: Target) -> usize {
    let order = |a: &usize, b: &usize| {
        let a = rank(&curve[*a], retain_before, target);
        let b = rank(&curve[*b], retain_before, target);
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    };
    (0..curve.len()).min_by(order).unwrap_or(0)
}
