//! Batch normalisation in evaluation mode.

use crate::error::{FisherError, expect_len};
use crate::fisher::layers::squares::{Squares, affine_squares};

/// `y = weight * (x - mean) / sqrt(variance + epsilon) + bias` with fixed statistics, channel by
/// channel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNorm<'a> {
    /// The running means.
    pub mean: &'a [f32],
    /// The running variances.
    pub variance: &'a [f32],
    /// What is added to a variance.
    pub epsilon: f32,
}

impl BatchNorm<'_> {
    /// The sums of squares of `weight` and `bias`, both `[channels]`.
    ///
    /// # Shapes
    /// - `input` and `delta`: `[samples, positions, channels]`
    ///
    /// # Errors
    /// [`FisherError::Shape`].
    pub fn squares(
        &self,
        groups: usize,
        input: &[f32],
        delta: &[f32],
    ) -> Result<Squares, FisherError> {
        expect_len("the variances", self.variance.len(), self.mean.len())?;
        let inverse: Vec<f32> = self
            .variance
            .iter()
            .map(|v| 1.0 / (v + self.epsilon).sqrt())
            .collect();
        affine_squares(
            input,
            delta,
            self.mean.len(),
            groups,
            #[inline(always)]
            |x, delta, sums| {
                let norms = self.mean.iter().zip(&inverse);
                let pairs = x.iter().zip(delta).zip(norms);
                for (sum, ((x, delta), (mean, inverse))) in sums.iter_mut().zip(pairs) {
                    *sum += (x - mean) * inverse * delta;
                }
            },
        )
    }
}
