//! The hyperbolic tangent.

#[cfg(feature = "burn")]
use burn::tensor::activation::tanh;
use fiun::FisherError;

use super::operation::{Following, Operation};
use crate::cpu::functions;
use crate::cpu::layer::{Backward, CpuLayer, Record};
use crate::cpu::maps::Maps;
use crate::cpu::rows::{change, change_alone};
use crate::cpu::weights::Weights;
#[cfg(feature = "burn")]
use crate::device::parameters::Builder;
#[cfg(feature = "burn")]
use crate::device::pass::{DeviceLayer, Flow, Pass};
use crate::error::NetError;

/// The function, value by value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tanh;

impl Operation for Tanh {
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

impl CpuLayer for Tanh {
    fn forward(&self, mut maps: Maps, _threads: usize) -> Result<Maps, FisherError> {
        change_alone(
            &mut maps.values,
            1,
            #[inline(always)]
            |values| {
                values
                    .iter_mut()
                    .for_each(|value| *value = functions::tanh(*value));
            },
        );
        Ok(maps)
    }

    fn record(&self, input: Maps, record: &mut Record) -> Result<Maps, FisherError> {
        let output = self.forward(input, record.threads)?;
        record.keep(output.clone());
        Ok(output)
    }

    fn backward(&self, mut delta: Maps, pass: &mut Backward<'_>) -> Result<Option<Maps>, NetError> {
        let output = pass.kept()?.maps;
        change(
            &mut delta.values,
            &output.values,
            1,
            #[inline(always)]
            |delta, kept| {
                for (delta, kept) in delta.iter_mut().zip(kept) {
                    *delta *= 1.0 - kept * kept;
                }
            },
        );
        Ok(Some(delta))
    }
}

#[cfg(feature = "burn")]
impl DeviceLayer for Tanh {
    fn run(&self, _pass: &mut Pass<'_>, input: Flow) -> Flow {
        input.map(tanh, tanh)
    }
}
