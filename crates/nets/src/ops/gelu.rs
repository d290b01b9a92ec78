//! The Gaussian error linear unit, exact (Hendrycks and Gimpel, arXiv:1606.08415).

use burn::tensor::activation::gelu;

use super::operation::Operation;
use crate::device::parameters::Builder;
use crate::device::pass::{DeviceLayer, Flow, Pass};
use crate::error::NetError;

/// The function, value by value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gelu;

impl Operation for Gelu {
    fn device(&self, _builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError> {
        Ok(Box::new(*self))
    }
}

impl DeviceLayer for Gelu {
    fn run(&self, _pass: &mut Pass<'_>, input: Flow) -> Flow {
        input.map(gelu, gelu)
    }
}
