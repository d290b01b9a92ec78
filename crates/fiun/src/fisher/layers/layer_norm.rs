//! Layer normalisation.

use crate::error::FisherError;
use crate::fisher::layers::squares::{Squares, affine_squares};
use crate::kernel::sums::sum;

/// `y = weight * (x - mean(x)) / sqrt(variance(x) + epsilon) + bias`, over the channels of each
/// position.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerNorm {
    /// The number of channels.
    pub channels: usize,
    /// What is added to a variance.
    pub epsilon: f32,
}

impl LayerNorm {
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
        let count = self.channels as f32;
        affine_squares(
            input,
            delta,
            self.channels,
            groups,
            #[inline(always)]
            |x, delta, sums| {
                let mean = sum(x, |x| x) / count;
                let variance = sum(x, |x| (x - mean) * (x - mean)) / count;
                let inverse = 1.0 / (variance + self.epsilon).sqrt();
                for ((sum, x), delta) in sums.iter_mut().zip(x).zip(delta) {
                    *sum += (x - mean) * inverse * delta;
                }
            },
        )
    }
}
