//! Logit suppression: what dampening cannot take from a class, the level that its row is shrunk
//! towards.
//!
//! Softmax sees differences between logits only, so the zero that a dampened row approaches is an
//! arbitrary level: where the other logits of a sample are all negative, a row of zeros still wins.
//! Lowering the biases of the forgotten labels, by one amount, is the same as having dampened the
//! head about a lower level. A head without a bias is dampened about the mean of its retained rows
//! instead: no mean of logits is above the largest of them.

use serde::{Deserialize, Serialize};

use crate::error::FisherError;
use crate::error::expect_len;
use crate::kernel::matrix::MatrixRef;

/// The odds that the best retained label gets over the forgotten ones on the most stubborn sample
/// that the choice was made on, so that unseen ones are forgotten too.
const ODDS: f32 = 10.0;

/// The part of a head whose rows are suppressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadPart {
    /// Its bias: an amount is subtracted.
    #[default]
    Bias,
    /// Its weight, where it has no bias: rows go a share of the way to the mean of the retained
    /// ones.
    Weight,
}

impl HeadPart {
    fn is_bias(&self) -> bool {
        *self == Self::Bias
    }
}

/// The rows whose logits may be suppressed where dampening does not do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SuppressibleRows {
    /// The rows of the forgotten labels; none where nothing may be suppressed.
    pub rows: Vec<u32>,
    /// The part of the head.
    pub part: HeadPart,
}

impl SuppressibleRows {
    /// Whether nothing may be suppressed.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// By how much the logits of the forgotten labels are suppressed besides dampening.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogitSuppression {
    /// The rows of the head.
    pub rows: Vec<u32>,
    /// What is subtracted from each of their biases; of weights, how far each row goes towards the
    /// mean of the retained rows, 0 to 1.
    pub by: f32,
    /// The accuracy on the forget samples with dampening alone, 0 to 1.
    pub forget_before: f64,
    /// The part of the head.
    #[serde(default, skip_serializing_if = "HeadPart::is_bias")]
    pub part: HeadPart,
}

impl LogitSuppression {
    /// The least suppression after which every forget sample gives its best retained label ten times
    /// the odds of its best forgotten one; of weights, what comes nearest to that.
    ///
    /// `logits` are those after dampening, `[samples, outputs]`. `None` when nothing has to be
    /// suppressed, or no label is retained.
    ///
    /// # Errors
    /// [`FisherError::Shape`] when there is not a mark for each row of `logits`.
    pub fn needed(
        logits: MatrixRef<'_>,
        is_forget: &[bool],
        suppressible: &SuppressibleRows,
        forget_before: f64,
    ) -> Result<Option<Self>, FisherError> {
        expect_len("the forget mask", is_forget.len(), logits.rows())?;
        let mut by = f32::NEG_INFINITY;
        for sample in (0..logits.rows()).filter(|&sample| is_forget[sample]) {
            let (mut gone, mut kept) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
            let (mut sum, mut count) = (0.0f32, 0u32);
            for (row, &logit) in (0u32..).zip(logits.row(sample)) {
                if suppressible.rows.contains(&row) {
                    gone = gone.max(logit);
                } else {
                    kept = kept.max(logit);
                    sum += logit;
                    count += 1;
                }
            }
            let above = gone - kept + ODDS.ln();
            by = by.max(match suppressible.part {
                HeadPart::Bias => above,
                // As a share of the way that leads down, which is at most 1.
                HeadPart::Weight if count == 0 || above <= 0.0 => 0.0,
                HeadPart::Weight => above / (gone - sum / count as f32).max(above),
            });
        }
        Ok((by > 0.0 && by.is_finite()).then(|| Self {
            rows: suppressible.rows.clone(),
            by,
            forget_before,
            part: suppressible.part,
        }))
    }

    /// Suppresses the rows of a head's part, or the logits of one sample: `values` are as many equal
    /// rows as there are `outputs`. A row that is not there is left out.
    pub fn apply(&self, values: &mut [f32], outputs: usize) {
        let width = (values.len() / outputs.max(1)).max(1);
        let mean = self.retained_mean(values, width);
        for &row in &self.rows {
            let place = row as usize * width;
            let Some(row) = values.get_mut(place..place + width) else {
                continue;
            };
            for (value, mean) in row.iter_mut().zip(&mean) {
                *value -= match self.part {
                    HeadPart::Bias => self.by,
                    HeadPart::Weight => self.by * (*value - mean),
                };
            }
        }
    }

    /// The mean of the rows that are not suppressed.
    fn retained_mean(&self, values: &[f32], width: usize) -> Vec<f32> {
        let rows = (0u32..).zip(values.chunks_exact(width));
        let retained = rows.filter(|(row, _)| !self.rows.contains(row));
        let (mut mean, mut count) = (vec![0.0f32; width], 0u32);
        for (_, row) in retained {
            count += 1;
            mean.iter_mut()
                .zip(row)
                .for_each(|(sum, value)| *sum += value);
        }
        mean.iter_mut().for_each(|sum| *sum /= count.max(1) as f32);
        mean
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::kernel::matrix::{Matrix, argmax};

    fn rows(part: HeadPart, rows: &[u32]) -> SuppressibleRows {
        SuppressibleRows {
            rows: rows.to_vec(),
            part,
        }
    }

    #[test]
    fn the_most_stubborn_sample_decides() {
        let logits =
            Matrix::new(3, 3, vec![0.0, -1.0, -4.0, 0.0, -3.0, -2.0, -5.0, 1.0, 0.0]).unwrap();
        let is_forget = [true, true, false];
        let suppression =
            LogitSuppression::needed(logits.view(), &is_forget, &rows(HeadPart::Bias, &[0]), 1.0)
                .unwrap()
                .unwrap();
        assert!((suppression.by - (2.0 + 10f32.ln())).abs() < 1e-6);
        for (sample, winner) in [(0, 1), (1, 2), (2, 1)] {
            let mut row = logits.view().row(sample).to_vec();
            suppression.apply(&mut row, 3);
            assert_eq!(argmax(&row), winner);
        }
    }

    #[test]
    fn nothing_is_suppressed_without_need() {
        let logits = Matrix::new(1, 2, vec![-9.0, 0.0]).unwrap();
        for part in [HeadPart::Bias, HeadPart::Weight] {
            let none = |forgotten: &[u32]| {
                LogitSuppression::needed(logits.view(), &[true], &rows(part, forgotten), 0.0)
                    .unwrap()
            };
            assert_eq!(none(&[0]), None);
            assert_eq!(none(&[0, 1]), None, "no label is retained");
            assert!(LogitSuppression::needed(logits.view(), &[], &rows(part, &[0]), 0.0).is_err());
        }
    }

    #[test]
    fn weights_go_towards_the_mean_of_the_retained_ones_as_far_as_is_needed() {
        let suppressible = rows(HeadPart::Weight, &[0]);
        // The best retained logit is -1, the mean -5: a part of the way does.
        let logits = Matrix::new(1, 3, vec![1.0, -1.0, -9.0]).unwrap();
        let suppression = LogitSuppression::needed(logits.view(), &[true], &suppressible, 1.0)
            .unwrap()
            .unwrap();
        assert!((suppression.by - (2.0 + 10f32.ln()) / 6.0).abs() < 1e-6);
        let mut row = logits.values().to_vec();
        suppression.apply(&mut row, 3);
        assert!((row[0] - (-1.0 - 10f32.ln())).abs() < 1e-5);
        assert_eq!(row[1..], [-1.0, -9.0]);
        // Weights and logits go the same way.
        let mut weight = vec![1.0, 2.0, 3.0, 4.0, 5.0, 8.0];
        let half = LogitSuppression {
            by: 0.5,
            ..suppression
        };
        half.apply(&mut weight, 3);
        assert_eq!(weight, [2.5, 4.0, 3.0, 4.0, 5.0, 8.0]);
    }

    #[test]
    fn at_the_mean_no_label_wins() {
        // The others are so near to each other that ten times the odds are not to be had.
        let logits = Matrix::new(2, 3, vec![0.0, -1.0, -1.1, 0.0, -9.0, -0.5]).unwrap();
        let suppressible = rows(HeadPart::Weight, &[0]);
        let suppression =
            LogitSuppression::needed(logits.view(), &[true, true], &suppressible, 1.0)
                .unwrap()
                .unwrap();
        assert_eq!(suppression.by, 1.0);
        for sample in 0..2 {
            let mut row = logits.view().row(sample).to_vec();
            suppression.apply(&mut row, 3);
            assert_ne!(argmax(&row), 0);
        }
    }
}
