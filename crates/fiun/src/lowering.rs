//! What dampening cannot take from a class: the level that its row is shrunk towards.
//!
//! Softmax sees differences between logits only, so the zero that a dampened row approaches is an
//! arbitrary level: where the other logits of a sample are all negative, a row of zeros still wins.
//! Lowering the biases of the forgotten labels, by one amount, is the same as having dampened the
//! head about a lower level.

use serde::{Deserialize, Serialize};

use crate::error::expect_len;
use crate::{FisherError, MatrixRef};

/// The odds that the best retained label gets over the forgotten ones on the most stubborn sample
/// that the choice was made on, so that unseen ones are forgotten too.
const ODDS: f32 = 10.0;

/// By how much the biases of the forgotten labels are lowered besides dampening.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lowering {
    /// The rows of the head.
    pub rows: Vec<u32>,
    /// What is subtracted from each of their biases.
    pub by: f32,
    /// The accuracy on the forget samples with dampening alone, 0 to 1.
    pub forget_before: f64,
}

impl Lowering {
    /// The least lowering after which every forget sample gives its best retained label ten times
    /// the odds of its best forgotten one.
    ///
    /// `logits` are those after dampening, `[samples, outputs]`; `rows` are the forgotten labels'.
    /// `None` when nothing has to be lowered, or no label is retained.
    ///
    /// # Errors
    /// [`FisherError::Shape`] when there is not a mark for each row of `logits`.
    pub fn needed(
        logits: MatrixRef<'_>,
        is_forget: &[bool],
        rows: &[u32],
        forget_before: f64,
    ) -> Result<Option<Self>, FisherError> {
        expect_len("the forget mask", is_forget.len(), logits.rows())?;
        let mut by = f32::NEG_INFINITY;
        for sample in (0..logits.rows()).filter(|&sample| is_forget[sample]) {
            let (mut gone, mut kept) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
            for (row, &logit) in (0u32..).zip(logits.row(sample)) {
                let best = if rows.contains(&row) {
                    &mut gone
                } else {
                    &mut kept
                };
                *best = best.max(logit);
            }
            by = by.max(gone - kept + ODDS.ln());
        }
        Ok((by > 0.0 && by.is_finite()).then(|| Self {
            rows: rows.to_vec(),
            by,
            forget_before,
        }))
    }

    /// Lowers the rows' biases, or any values that come one for each output. A row that is not
    /// there is left out.
    pub fn apply(&self, biases: &mut [f32]) {
        for &row in &self.rows {
            if let Some(bias) = biases.get_mut(row as usize) {
                *bias -= self.by;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Matrix, argmax};

    #[test]
    fn the_most_stubborn_sample_decides() {
        let logits =
            Matrix::new(3, 3, vec![0.0, -1.0, -4.0, 0.0, -3.0, -2.0, -5.0, 1.0, 0.0]).unwrap();
        let is_forget = [true, true, false];
        let lowering = Lowering::needed(logits.view(), &is_forget, &[0], 1.0)
            .unwrap()
            .unwrap();
        assert!((lowering.by - (2.0 + 10f32.ln())).abs() < 1e-6);
        for (sample, winner) in [(0, 1), (1, 2), (2, 1)] {
            let mut row = logits.view().row(sample).to_vec();
            lowering.apply(&mut row);
            assert_eq!(argmax(&row), winner);
        }
    }

    #[test]
    fn nothing_is_lowered_without_need() {
        let logits = Matrix::new(1, 2, vec![-9.0, 0.0]).unwrap();
        let none = |rows: &[u32]| Lowering::needed(logits.view(), &[true], rows, 0.0).unwrap();
        assert_eq!(none(&[0]), None);
        assert_eq!(none(&[0, 1]), None, "no label is retained");
        assert!(Lowering::needed(logits.view(), &[], &[0], 0.0).is_err());
    }
}
