//! From maps to a sequence of positions, as the vision transformer reads it (arXiv:2010.11929).

#[cfg(feature = "burn")]
use burn::tensor::Tensor;
use disinherit_data::ImageShape;

use super::initial::{Initial, NARROW};
use super::operation::{Operation, Tensors};
#[cfg(feature = "burn")]
use crate::device::parameters::{Builder, CubeAt};
#[cfg(feature = "burn")]
use crate::device::pass::{DeviceLayer, Flow, Pass};
#[cfg(feature = "burn")]
use crate::error::NetError;

/// A learnt vector before the first position, and learnt vectors added to each.
///
/// # Shapes
/// `token`: `[1, 1, size]`; `position`: `[1, count + 1, size]`.
#[derive(Debug, Clone)]
pub(crate) struct Patches {
    /// The tensor of the first vector.
    pub(crate) token: String,
    /// The tensor of the added vectors.
    pub(crate) position: String,
    /// Positions of the maps.
    pub(crate) count: usize,
    /// Channels of the maps.
    pub(crate) size: usize,
}

impl Operation for Patches {
    fn tensors(&self) -> Tensors {
        vec![
            (self.token.clone(), vec![1, 1, self.size]),
            (self.position.clone(), vec![1, self.count + 1, self.size]),
        ]
    }

    fn initial(&self, _tensor: &str, _shape: &[usize]) -> Initial {
        Initial::Normal(NARROW)
    }

    fn output(&self, _input: ImageShape) -> Option<ImageShape> {
        Some(ImageShape {
            channels: self.size,
            height: self.count + 1,
            width: 1,
        })
    }

    #[cfg(feature = "burn")]
    fn device(&self, builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError> {
        Ok(Box::new(DevicePatches {
            token: builder.cube(&self.token)?,
            position: builder.cube(&self.position)?,
        }))
    }
}

#[cfg(feature = "burn")]
struct DevicePatches {
    token: CubeAt,
    position: CubeAt,
}

#[cfg(feature = "burn")]
impl DeviceLayer for DevicePatches {
    fn run(&self, pass: &mut Pass<'_>, input: Flow) -> Flow {
        let x = input.sequence();
        let [batch, _, values] = x.dims();
        let token = pass.cube(self.token).expand([batch, 1, values]);
        Flow::Sequence(Tensor::cat(vec![token, x], 1) + pass.cube(self.position))
    }
}
