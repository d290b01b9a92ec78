//! Targets for single samples that are forgotten: each is to be as certain as an unseen sample of its
//! difficulty.
//!
//! A model that never saw a sample is sometimes sure of it, and sometimes wrong. What it would say of one
//! sample cannot be known, but how sure it is of samples that it really never saw can. So the samples are
//! put in an order of difficulty, and the share of samples that are harder says which quantile of the
//! unseen samples' certainty is the target:
//!
//! ```text
//! d_i  = sum over signals s of share of trained samples t with s_t < s_i       (difficulty: smaller, harder)
//! u_i  = (rank of d_i among the forget samples + share of trained samples with smaller d) / 2
//! goal = the u_i-quantile of the certainty of unseen samples, weighted by label as the forget samples are
//! ```
//!
//! Certainty is the log-odds of the true label ([`log_odds`](crate::log_odds)). The rank among the forget
//! samples alone would make every set of them as hard as the unseen ones on the whole; the rank among
//! samples that were trained on in the same way sees that a set is harder or easier than others, but is
//! uncertain where the set is small. The mean of both is closest to what retraining gives.

use std::collections::BTreeMap;

use crate::error::{FisherError, expect_len};

/// One quantity that tells hard samples from easy ones: the smaller, the harder.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    /// Of every sample that is forgotten.
    pub forget: Vec<f64>,
    /// Of samples that were trained on as the forgotten ones were.
    pub trained: Vec<f64>,
}

/// For every forget sample the share of samples that are harder, strictly between 0 and 1.
///
/// # Errors
/// [`FisherError`] without signals or samples, when signals differ in length, or one is not finite.
pub fn difficulty_levels(signals: &[Signal]) -> Result<Vec<f64>, FisherError> {
    let none = || FisherError::NoSamples("whose difficulty is asked for".into());
    let first = signals.first().ok_or_else(none)?;
    let (count, others) = (first.forget.len(), first.trained.len());
    if count == 0 || others == 0 {
        return Err(none());
    }
    let (mut forget, mut trained) = (vec![0.0; count], vec![0.0; others]);
    for signal in signals {
        expect_len("a signal of the forget samples", signal.forget.len(), count)?;
        expect_len(
            "a signal of the trained samples",
            signal.trained.len(),
            others,
        )?;
        finite(&signal.forget)?;
        finite(&signal.trained)?;
        let below = Below::new(&signal.trained);
        for (sum, value) in forget.iter_mut().zip(&signal.forget) {
            *sum += below.share(*value);
        }
        for (sum, value) in trained.iter_mut().zip(&signal.trained) {
            *sum += below.share(*value);
        }
    }
    let (own, known) = (Below::new(&forget), Below::new(&trained));
    let edge = 0.5 / others as f64;
    Ok(forget
        .iter()
        .map(|value| {
            let among = known.share(*value).clamp(edge, 1.0 - edge);
            (own.share(*value) + among) / 2.0
        })
        .collect())
}

/// Quantiles of weighted values, by straight lines between the middles of their weights; beyond the first
/// and the last value, those.
///
/// # Errors
/// [`FisherError`] without values, when the lengths differ, something is not finite, or no weight is
/// positive.
pub fn weighted_quantiles(
    values: &[f64],
    weights: &[f64],
    levels: &[f64],
) -> Result<Vec<f64>, FisherError> {
    expect_len("the list of weights", weights.len(), values.len())?;
    for list in [values, weights, levels] {
        finite(list)?;
    }
    let mut known: Vec<(f64, f64)> = values
        .iter()
        .copied()
        .zip(weights.iter().copied())
        .filter(|(_, weight)| *weight > 0.0)
        .collect();
    known.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = known.iter().map(|(_, weight)| weight).sum();
    let mut done = 0.0;
    let places: Vec<(f64, f64)> = known
        .iter()
        .map(|(value, weight)| {
            done += weight;
            ((done - weight / 2.0) / total, *value)
        })
        .collect();
    let (Some(first), Some(last)) = (places.first(), places.last()) else {
        return Err(FisherError::NoSamples(
            "whose quantiles are asked for".into(),
        ));
    };
    let quantile = |level: &f64| {
        let after = places.partition_point(|(place, _)| place < level);
        match (after.checked_sub(1).map(|at| places[at]), places.get(after)) {
            (Some((left, low)), Some((right, high))) => {
                low + (high - low) * (level - left) / (right - left)
            }
            (None, _) => first.1,
            (_, None) => last.1,
        }
    };
    Ok(levels.iter().map(quantile).collect())
}

/// Weights under which samples have their labels in the proportions of the forget samples; all alike
/// where they have none of those labels. A few forget samples say little about proportions: `prior` is
/// how many more are assumed, with labels as the others have them.
pub fn label_weights(forget: &[u32], others: &[u32], prior: f64) -> Vec<f64> {
    let count = |labels: &[u32], label: u32| labels.iter().filter(|l| **l == label).count() as f64;
    let alike = prior / others.len() as f64;
    let mut of_label: BTreeMap<u32, f64> = BTreeMap::new();
    for label in others {
        let weight = || count(forget, *label) / count(others, *label) + alike;
        of_label.entry(*label).or_insert_with(weight);
    }
    let weights: Vec<f64> = others.iter().map(|label| of_label[label]).collect();
    if weights.iter().all(|weight| *weight == 0.0) {
        return vec![1.0; others.len()];
    }
    weights
}

fn finite(values: &[f64]) -> Result<(), FisherError> {
    match values.iter().position(|value| !value.is_finite()) {
        None => Ok(()),
        Some(index) => Err(FisherError::NotFinite {
            what: "a measure of certainty",
            value: values[index] as f32,
            place: format!("sample {index}"),
        }),
    }
}

/// Sorted values, to be asked for the share of them below another one.
struct Below(Vec<f64>);

impl Below {
    fn new(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Self(sorted)
    }

    /// Equal values count half.
    fn share(&self, value: f64) -> f64 {
        let under = self.0.partition_point(|known| *known < value);
        let up_to = self.0.partition_point(|known| *known <= value);
        (under + up_to) as f64 / (2 * self.0.len()) as f64
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Worked out by hand.
    #[test]
    fn levels_are_the_mean_of_two_ranks() {
        let signal = Signal {
            forget: vec![1.5, 0.0],
            trained: vec![1.0, 2.0, 3.0, 4.0],
        };
        // Among the forget samples 3/4 and 1/4, among the trained 1/4 and 0, which is kept off by 1/8.
        let found = difficulty_levels(std::slice::from_ref(&signal)).unwrap();
        assert_eq!(found, [0.5, 0.1875]);
        // A second signal that says the same changes nothing.
        assert_eq!(difficulty_levels(&[signal.clone(), signal]).unwrap(), found);
    }

    #[test]
    fn signals_add_up() {
        let of = |forget: [f64; 2]| Signal {
            forget: forget.to_vec(),
            trained: vec![1.0, 2.0, 3.0, 4.0],
        };
        // What one signal takes for hard, the other one takes for easy.
        let found = difficulty_levels(&[of([0.0, 5.0]), of([5.0, 0.0])]).unwrap();
        assert_eq!(found[0], found[1]);
        assert!(difficulty_levels(&[]).is_err());
        assert!(difficulty_levels(&[of([0.0, f64::NAN])]).is_err());
        let short = Signal {
            forget: vec![1.0],
            trained: vec![1.0],
        };
        assert!(difficulty_levels(&[of([0.0, 1.0]), short]).is_err());
    }

    #[test]
    fn quantiles_follow_the_weights() {
        let of = |weights: &[f64], level| {
            weighted_quantiles(&[3.0, 1.0, 2.0], weights, &[level]).unwrap()[0]
        };
        // Middles at 1/6, 1/2 and 5/6.
        assert_eq!(of(&[1.0; 3], 0.5), 2.0);
        assert!((of(&[1.0; 3], 1.0 / 3.0) - 1.5).abs() < 1e-12);
        assert_eq!([of(&[1.0; 3], 0.0), of(&[1.0; 3], 1.0)], [1.0, 3.0]);
        // Without the middle one: 1/4 and 3/4.
        assert_eq!(of(&[1.0, 1.0, 0.0], 0.5), 2.0);
        assert_eq!(of(&[1.0, 0.0, 0.0], 0.1), 3.0);
        assert!(weighted_quantiles(&[1.0], &[0.0], &[0.5]).is_err());
        assert!(weighted_quantiles(&[1.0], &[1.0, 2.0], &[0.5]).is_err());
    }

    #[test]
    fn weights_bring_labels_into_proportion() {
        let weights = label_weights(&[1, 1, 2], &[1, 2, 2, 3], 0.0);
        assert_eq!(weights, [2.0, 0.5, 0.5, 0.0]);
        // Four more, as the others have them: one of label 1, two of 2, one of 3.
        let weights = label_weights(&[1, 1, 2], &[1, 2, 2, 3], 4.0);
        assert_eq!(weights, [3.0, 1.5, 1.5, 1.0]);
        assert_eq!(label_weights(&[7], &[1, 2], 0.0), [1.0, 1.0]);
    }
}
