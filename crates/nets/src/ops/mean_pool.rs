//! The mean over a sequence.

use disinherit_data::ImageShape;

use super::operation::Operation;
#[cfg(feature = "burn")]
use crate::device::parameters::Builder;
#[cfg(feature = "burn")]
use crate::device::pass::{DeviceLayer, Flow, Pass};
#[cfg(feature = "burn")]
use crate::error::NetError;

/// The mean over all positions that are no padding.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MeanPool;

impl Operation for MeanPool {
    fn output(&self, input: ImageShape) -> Option<ImageShape> {
        Some(ImageShape { height: 1, ..input })
    }

    #[cfg(feature = "burn")]
    fn device(&self, _builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError> {
        Ok(Box::new(*self))
    }
}

#[cfg(feature = "burn")]
impl DeviceLayer for MeanPool {
    fn run(&self, pass: &mut Pass<'_>, input: Flow) -> Flow {
        let x = input.sequence();
        let [batch, positions, values] = x.dims();
        Flow::Vectors(match &pass.mask {
            Some(mask) => {
                let count = mask.clone().sum_dim(1).clamp_min(1.0);
                let sum = (x * mask.clone().unsqueeze_dim(2)).sum_dim(1);
                sum.reshape([batch, values]) / count
            }
            None => x.sum_dim(1).reshape([batch, values]) / positions as f64,
        })
    }
}
