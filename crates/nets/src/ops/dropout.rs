//! Dropout (Srivastava et al., JMLR 15, 2014).

use burn::tensor::{Tensor, TensorData};
use rand::RngExt;

use super::operation::{Following, Operation};
use crate::cpu::layer::CpuLayer;
use crate::cpu::weights::Weights;
use crate::device::parameters::Builder;
use crate::device::pass::{DeviceLayer, Flow, Pass};
use crate::error::NetError;

/// In training, zeroes values with this probability and divides the others by what is left of 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dropout(pub(crate) f64);

impl Operation for Dropout {
    /// Evaluation drops nothing.
    fn cpu(
        &self,
        _weights: &Weights<'_>,
        _following: &mut Following<'_>,
    ) -> Result<Option<Box<dyn CpuLayer>>, NetError> {
        Ok(None)
    }

    fn device(&self, _builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError> {
        Ok(Box::new(*self))
    }
}

impl DeviceLayer for Dropout {
    /// The mask is drawn on the host, so that the same seed gives the same training on every
    /// device.
    fn run(&self, pass: &mut Pass<'_>, input: Flow) -> Flow {
        let Some(rng) = &mut pass.dropout else {
            return input;
        };
        let input = input.vectors();
        let [rows, cols] = input.dims();
        let kept = 1.0 / (1.0 - self.0) as f32;
        let mask: Vec<f32> = (0..rows * cols)
            .map(|_| if rng.random_bool(self.0) { 0.0 } else { kept })
            .collect();
        let mask = Tensor::<2>::from_data(TensorData::new(mask, [rows, cols]), &input.device());
        Flow::Vectors(input * mask)
    }
}
