//! The row of the head for a class that a model no longer knows.
//!
//! A model that never knew a class still has a row for it, which says by how much the class is less
//! likely than the others. The row points along the mean retained feature, so that it is as good as a
//! constant, and its length is set so that the mean log-odds of the class on forget samples are those
//! of the reference. Where features have signs, their mean is no such direction, and the bias takes the
//! constant.

use crate::error::{FisherError, expect_len};
use crate::kernel::matrix::MatrixRef;

/// A row of a head.
#[derive(Debug, Clone, PartialEq)]
pub struct HeadRow {
    /// `[features]`.
    pub weight: Vec<f32>,
    /// The bias; 0 where the weight does it alone.
    pub bias: f32,
}

impl HeadRow {
    /// The row after which the mean over forget samples of the class's logit less the logarithm of the
    /// summed exponentials of the retained logits is `log_odds`.
    ///
    /// # Shapes
    /// - `retained_mean`: `[features]`, the mean feature of retained samples
    /// - `features`: `[forget samples, features]`; `others`: `[forget samples]`, the logarithm of the
    ///   summed exponentials of each one's retained logits
    ///
    /// # Errors
    /// [`FisherError::Shape`] when shapes do not fit, [`FisherError::NoSamples`] without forget samples.
    pub fn calibrated(
        retained_mean: &[f32],
        features: MatrixRef<'_>,
        others: &[f32],
        log_odds: f32,
        has_bias: bool,
    ) -> Result<Self, FisherError> {
        expect_len("the mean feature", retained_mean.len(), features.cols())?;
        expect_len("the retained logits", others.len(), features.rows())?;
        if others.is_empty() {
            return Err(FisherError::NoSamples("of what is forgotten".into()));
        }
        let count = others.len() as f32;
        let wanted = log_odds + others.iter().sum::<f32>() / count;
        let dot = |row: &[f32]| -> f32 { row.iter().zip(retained_mean).map(|(a, b)| a * b).sum() };
        let length = dot(retained_mean);
        let along = (0..features.rows())
            .map(|sample| dot(features.row(sample)))
            .sum::<f32>()
            / count
            / length;
        let signed = features
            .values()
            .iter()
            .chain(retained_mean)
            .any(|v| *v < 0.0);
        // Half of the length, at least: else a tiny share of the feature would have to carry it all.
        let points = length > 0.0 && along.is_finite() && along > 0.5;
        if has_bias && (signed || !points) {
            return Ok(Self {
                weight: vec![0.0; retained_mean.len()],
                bias: wanted,
            });
        }
        let along = if points { along } else { 1.0 };
        let factor = wanted / along / length.max(f32::MIN_POSITIVE);
        Ok(Self {
            weight: retained_mean.iter().map(|h| h * factor).collect(),
            bias: 0.0,
        })
    }
}

/// The logarithm of the summed exponentials of some logits of every sample, those that `picked` says.
pub fn log_sum_exp(logits: MatrixRef<'_>, picked: &dyn Fn(usize) -> bool) -> Vec<f32> {
    (0..logits.rows())
        .map(|sample| {
            let row = logits.row(sample).iter().enumerate();
            let row: Vec<f32> = row.filter(|(at, _)| picked(*at)).map(|(_, v)| *v).collect();
            let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f32 = row.iter().map(|v| (v - top).exp()).sum();
            top + sum.ln()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::kernel::matrix::Matrix;

    #[test]
    fn the_mean_log_odds_are_those_asked_for() {
        let features = Matrix::new(2, 2, vec![1.0, 2.0, 3.0, 0.5]).unwrap();
        let others = [1.0f32, 3.0];
        for (mean, has_bias) in [([1.0, 1.0], true), ([1.0, -1.0], true), ([1.0, 1.0], false)] {
            let row = HeadRow::calibrated(&mean, features.view(), &others, -4.0, has_bias).unwrap();
            let odds = (0..2).map(|sample| {
                let values = features.view().row(sample);
                let logit: f32 = values.iter().zip(&row.weight).map(|(a, b)| a * b).sum();
                logit + row.bias - others[sample]
            });
            assert!((odds.sum::<f32>() / 2.0 + 4.0).abs() < 1e-5, "{row:?}");
        }
    }

    #[test]
    fn logarithms_of_sums_do_not_overflow() {
        let logits = Matrix::new(1, 3, vec![1000.0, 1000.0, 5000.0]).unwrap();
        let found = log_sum_exp(logits.view(), &|at| at < 2);
        assert!((found[0] - 1000.0 - 2f32.ln()).abs() < 1e-3);
    }
}
