//! Layer normalisation.

use crate::error::FisherError;
use crate::fisher::layers::squares::{Squares, affine_squares};

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
        let normalised = |x: &[f32], out: &mut [f32]| {
            let mean = x.iter().sum::<f32>() / count;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / count;
            let inverse = 1.0 / (variance + self.epsilon).sqrt();
            for (out, x) in out.iter_mut().zip(x) {
                *out = (x - mean) * inverse;
            }
        };
        affine_squares(input, delta, self.channels, groups, &normalised)
    }
}
