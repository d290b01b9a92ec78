//! The hyperbolic tangent.

use burn::tensor::activation::tanh;

use super::operation::Operation;
use crate::device::parameters::Builder;
use crate::device::pass::{DeviceLayer, Flow, Pass};
use crate::error::NetError;

/// The function, value by value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tanh;

impl Operation for Tanh {
    fn device(&self, _builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError> {
        Ok(Box::new(*self))
    }
}

impl DeviceLayer for Tanh {
    fn run(&self, _pass: &mut Pass<'_>, input: Flow) -> Flow {
        input.map(tanh, tanh)
    }
}
