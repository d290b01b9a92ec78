//! How the first values of a tensor are drawn.

use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal, Uniform};

use crate::error::NetError;

/// The distribution of a tensor's first values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Initial {
    /// One value everywhere.
    Constant(f32),
    /// A normal distribution around 0 with this standard deviation.
    Normal(f32),
    /// Uniform between minus and plus this.
    Uniform(f32),
}

/// The standard deviation of the tables of BERT and ViT.
pub(crate) const NARROW: f32 = 0.02;

impl Initial {
    /// Uniform within `1 / sqrt(fan)`, PyTorch's default for linear layers and convolutions.
    pub(crate) fn for_fan(fan: usize) -> Self {
        Self::Uniform(1.0 / (fan as f32).sqrt())
    }

    /// Ones for weights and running variances, zeros for everything else: a normalisation that does
    /// nothing yet.
    pub(crate) fn for_norm(tensor: &str) -> Self {
        let ones = tensor.ends_with(".weight") || tensor.ends_with(".running_var");
        Self::Constant(if ones { 1.0 } else { 0.0 })
    }

    /// As many values as asked for.
    ///
    /// # Errors
    /// [`NetError::Training`] when the distribution has no finite width.
    pub(crate) fn draw(self, count: usize, rng: &mut ChaCha8Rng) -> Result<Vec<f32>, NetError> {
        let refuse = |error: &dyn std::fmt::Display| NetError::Training(error.to_string());
        Ok(match self {
            Self::Constant(value) => vec![value; count],
            Self::Normal(deviation) => {
                let normal = Normal::new(0.0, deviation).map_err(|error| refuse(&error))?;
                (0..count).map(|_| normal.sample(rng)).collect()
            }
            Self::Uniform(bound) => {
                let uniform = Uniform::new(-bound, bound).map_err(|error| refuse(&error))?;
                (0..count).map(|_| uniform.sample(rng)).collect()
            }
        })
    }
}
