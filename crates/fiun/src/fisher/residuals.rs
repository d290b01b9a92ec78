//! Residuals of the cross-entropy: the gradient of a sample's loss at its logits.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::FisherError;
use crate::error::{expect_len, expect_row};
use crate::fisher::estimator::Estimator;
use crate::kernel::matrix::{Matrix, MatrixRef};

/// Residuals `softmax(logits) - onehot(labels)` of the cross-entropy, `[samples, outputs]`. For
/// [`Estimator::True`] the labels are drawn from the softmax instead, in the order of the rows.
///
/// The true class's entry is computed as minus the sum of the others', so that it keeps its digits
/// when the prediction is nearly certain.
///
/// # Errors
/// [`FisherError`] when the lengths differ, a label is out of range, or a logit is not finite.
pub fn residuals(
    logits: MatrixRef<'_>,
    labels: &[u32],
    estimator: Estimator,
) -> Result<Matrix, FisherError> {
    Residuals::new(estimator).next(logits, labels)
}

/// [`residuals`], part after part: the draws of [`Estimator::True`] go on where they stopped.
#[derive(Debug, Clone)]
pub struct Residuals {
    draws: Option<ChaCha8Rng>,
    done: usize,
}

impl Residuals {
    /// Before the first part.
    pub fn new(estimator: Estimator) -> Self {
        let draws = match estimator {
            Estimator::True { seed } => Some(ChaCha8Rng::seed_from_u64(seed)),
            _ => None,
        };
        Self { draws, done: 0 }
    }

    /// The residuals of the next rows.
    ///
    /// # Errors
    /// As [`residuals`].
    pub fn next(&mut self, logits: MatrixRef<'_>, labels: &[u32]) -> Result<Matrix, FisherError> {
        expect_len("the label list", labels.len(), logits.rows())?;
        let outputs = logits.cols();
        let mut out = Matrix::zeros(logits.rows(), outputs);
        let mut exponentials = vec![0.0f64; outputs];
        for (row, &label) in labels.iter().enumerate() {
            let sample = self.done + row;
            if label as usize >= outputs {
                return Err(FisherError::Label {
                    sample,
                    label,
                    classes: outputs,
                });
            }
            let z = logits.row(row);
            expect_row("the logits", sample, z)?;
            let top = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let mut sum = 0.0;
            for (e, z) in exponentials.iter_mut().zip(z) {
                *e = (f64::from(*z) - f64::from(top)).exp();
                sum += *e;
            }
            let truth = match &mut self.draws {
                None => label as usize,
                Some(draws) => draw(&exponentials, draws.random::<f64>() * sum),
            };
            let target = &mut out.values_mut()[row * outputs..(row + 1) * outputs];
            let mut wrong = 0.0;
            for (k, value) in target.iter_mut().enumerate() {
                if k != truth {
                    wrong += exponentials[k];
                    *value = (exponentials[k] / sum) as f32;
                }
            }
            target[truth] = -(wrong / sum) as f32;
        }
        self.done += labels.len();
        Ok(out)
    }
}

/// The place where the running sum of the weights passes `at`.
fn draw(weights: &[f64], mut at: f64) -> usize {
    for (index, weight) in weights.iter().enumerate() {
        at -= weight;
        if at < 0.0 {
            return index;
        }
    }
    weights.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn certain_predictions_keep_their_digits() {
        let logits = Matrix::new(1, 3, vec![40.0, 0.0, -40.0]).unwrap();
        let residuals = |label| residuals(logits.view(), &[label], Estimator::Empirical).unwrap();
        let right = residuals(0);
        let wrong = (-40.0f64).exp();
        assert!((f64::from(right.values()[0]) + wrong).abs() < 1e-6 * wrong);
        assert!((f64::from(right.values()[1]) - wrong).abs() < 1e-6 * wrong);
        let sum: f64 = residuals(2).values().iter().map(|r| f64::from(*r)).sum();
        assert!(sum.abs() < 1e-12);
    }

    #[test]
    fn drawn_labels_follow_the_prediction_and_the_seed() {
        let samples = 20_000;
        let logits = Matrix::new(samples, 3, [0.0f32, 1.0, 2.0].repeat(samples)).unwrap();
        let labels = vec![0; samples];
        let run = |seed| residuals(logits.view(), &labels, Estimator::True { seed }).unwrap();
        let first = run(1);
        assert_eq!(first, run(1));
        assert_ne!(first, run(2));
        let sum: f64 = (0..3).map(|k| f64::from(k).exp()).sum();
        for k in 0..3 {
            let drawn = (0..samples)
                .filter(|&n| first.view().row(n)[k] < 0.0)
                .count();
            let expected = (k as f64).exp() / sum;
            assert!((drawn as f64 / samples as f64 - expected).abs() < 0.02);
        }
        // Part by part gives the same draws.
        let mut parts = Residuals::new(Estimator::True { seed: 1 });
        let view = |range: std::ops::Range<usize>| logits.select_rows(&range.collect::<Vec<_>>());
        let mut values = parts
            .next(view(0..7).view(), &labels[..7])
            .unwrap()
            .into_values();
        let rest = parts.next(view(7..samples).view(), &labels[7..]).unwrap();
        values.extend(rest.into_values());
        assert_eq!(values, first.values());
    }
}
