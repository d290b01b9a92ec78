//! The hyperbolic tangent.

#[cfg(feature = "burn")]
use burn::tensor::activation::tanh;

use super::operation::Operation;
#[cfg(feature = "burn")]
use crate::device::parameters::Builder;
#[cfg(feature = "burn")]
use crate::device::pass::{DeviceLayer, Flow, Pass};
#[cfg(feature = "burn")]
use crate::error::NetError;

/// The function, value by value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tanh;

impl Operation for Tanh {
    #[cfg(feature = "burn")]
    fn device(&self, _builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError> {
        Ok(Box::new(*self))
    }
}

#[cfg(feature = "burn")]
impl DeviceLayer for Tanh {
    fn run(&self, _pass: &mut Pass<'_>, input: Flow) -> Flow {
        input.map(tanh, tanh)
    }
}
