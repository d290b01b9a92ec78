//! The Gaussian error linear unit, exact (Hendrycks and Gimpel, arXiv:1606.08415).

#[cfg(feature = "burn")]
use burn::tensor::activation::gelu;

use super::operation::Operation;
#[cfg(feature = "burn")]
use crate::device::parameters::Builder;
#[cfg(feature = "burn")]
use crate::device::pass::{DeviceLayer, Flow, Pass};
#[cfg(feature = "burn")]
use crate::error::NetError;

/// The function, value by value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gelu;

impl Operation for Gelu {
    #[cfg(feature = "burn")]
    fn device(&self, _builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError> {
        Ok(Box::new(*self))
    }
}

#[cfg(feature = "burn")]
impl DeviceLayer for Gelu {
    fn run(&self, _pass: &mut Pass<'_>, input: Flow) -> Flow {
        input.map(gelu, gelu)
    }
}
