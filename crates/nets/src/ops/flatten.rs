//! From maps to vectors.

use disinherit_data::ImageShape;
use fiun::FisherError;

use super::operation::{Following, Operation};
use crate::cpu::layer::{Backward, CpuLayer, Record};
use crate::cpu::maps::Maps;
use crate::cpu::weights::Weights;
#[cfg(feature = "burn")]
use crate::device::parameters::Builder;
#[cfg(feature = "burn")]
use crate::device::pass::{DeviceLayer, Flow, Pass};
use crate::error::NetError;

/// All values of a sample as one vector, channels before positions (PyTorch's order).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flatten;

impl Operation for Flatten {
    fn output(&self, input: ImageShape) -> Option<ImageShape> {
        Some(ImageShape {
            channels: input.len(),
            height: 1,
            width: 1,
        })
    }

    fn cpu(
        &self,
        _weights: &Weights<'_>,
        _following: &mut Following<'_>,
    ) -> Result<Option<Box<dyn CpuLayer>>, NetError> {
        Ok(Some(Box::new(*self)))
    }

    #[cfg(feature = "burn")]
    fn device(&self, _builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError> {
        Ok(Box::new(*self))
    }
}

impl CpuLayer for Flatten {
    fn forward(&self, input: Maps, _threads: usize) -> Result<Maps, FisherError> {
        Ok(input.flattened())
    }

    fn record(&self, input: Maps, record: &mut Record) -> Result<Maps, FisherError> {
        record.keep(input.with(Vec::new()));
        Ok(input.flattened())
    }

    fn backward(&self, delta: Maps, pass: &mut Backward<'_>) -> Result<Option<Maps>, NetError> {
        let input = pass.kept()?.maps;
        Ok(Some(delta.unflattened(input.size, input.channels)))
    }
}

#[cfg(feature = "burn")]
impl DeviceLayer for Flatten {
    fn run(&self, _pass: &mut Pass<'_>, input: Flow) -> Flow {
        Flow::Vectors(input.vectors())
    }
}
