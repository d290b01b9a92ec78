//! The first position of a sequence.

use disinherit_data::ImageShape;

use super::operation::{Operation, Part};
#[cfg(feature = "burn")]
use crate::device::parameters::Builder;
#[cfg(feature = "burn")]
use crate::device::pass::{DeviceLayer, Flow, Pass};
#[cfg(feature = "burn")]
use crate::error::NetError;

/// Where BERT and ViT gather what they say about a whole sequence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct First;

impl Operation for First {
    fn part(&self) -> Part<'_> {
        Part::First
    }

    fn output(&self, input: ImageShape) -> Option<ImageShape> {
        Some(ImageShape { height: 1, ..input })
    }

    #[cfg(feature = "burn")]
    fn device(&self, _builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError> {
        Ok(Box::new(*self))
    }
}

#[cfg(feature = "burn")]
impl DeviceLayer for First {
    fn run(&self, _pass: &mut Pass<'_>, input: Flow) -> Flow {
        let x = input.sequence();
        let [batch, _, values] = x.dims();
        Flow::Vectors(x.narrow(1, 0, 1).reshape([batch, values]))
    }
}
