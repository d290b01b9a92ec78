//! Vectors for tokens.

use disinherit_data::ImageShape;

use super::initial::Initial;
use super::operation::{Operation, Tensors};
#[cfg(feature = "burn")]
use crate::device::parameters::{Builder, MatrixAt};
#[cfg(feature = "burn")]
use crate::device::pass::{DeviceLayer, Flow, Pass};
#[cfg(feature = "burn")]
use crate::error::NetError;

/// Row `t` of a table for token `t`.
///
/// # Shapes
/// `weight`: `[count, size]`.
#[derive(Debug, Clone)]
pub(crate) struct Embedding {
    /// The layer's name.
    pub(crate) name: String,
    /// Different tokens.
    pub(crate) count: usize,
    /// Values of a vector.
    pub(crate) size: usize,
}

impl Operation for Embedding {
    fn tensors(&self) -> Tensors {
        vec![(format!("{}.weight", self.name), vec![self.count, self.size])]
    }

    /// Narrower than PyTorch's 1: the mean over a text must not drown in its rare words.
    fn initial(&self, _tensor: &str, _shape: &[usize]) -> Initial {
        Initial::Normal(0.1)
    }

    fn output(&self, input: ImageShape) -> Option<ImageShape> {
        Some(ImageShape {
            channels: self.size,
            ..input
        })
    }

    #[cfg(feature = "burn")]
    fn device(&self, builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError> {
        let table = builder.matrix(&format!("{}.weight", self.name))?;
        Ok(Box::new(DeviceEmbedding(table)))
    }
}

#[cfg(feature = "burn")]
struct DeviceEmbedding(MatrixAt);

#[cfg(feature = "burn")]
impl DeviceLayer for DeviceEmbedding {
    fn run(&self, pass: &mut Pass<'_>, input: Flow) -> Flow {
        Flow::Sequence(pass.embedded(self.0, input))
    }
}
