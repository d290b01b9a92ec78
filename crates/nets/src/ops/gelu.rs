//! The Gaussian error linear unit, exact (Hendrycks and Gimpel, arXiv:1606.08415).

#[cfg(feature = "burn")]
use burn::tensor::activation::gelu;
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
pub(crate) struct Gelu;

impl Operation for Gelu {
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

impl CpuLayer for Gelu {
    fn forward(&self, mut maps: Maps, _threads: usize) -> Result<Maps, FisherError> {
        change_alone(
            &mut maps.values,
            1,
            #[inline(always)]
            |values| {
                values
                    .iter_mut()
                    .for_each(|value| *value = functions::gelu(*value));
            },
        );
        Ok(maps)
    }

    fn record(&self, input: Maps, record: &mut Record) -> Result<Maps, FisherError> {
        record.keep(input.clone());
        self.forward(input, record.threads)
    }

    fn backward(&self, mut delta: Maps, pass: &mut Backward<'_>) -> Result<Option<Maps>, NetError> {
        let input = pass.kept()?.maps;
        change(
            &mut delta.values,
            &input.values,
            1,
            #[inline(always)]
            |delta, kept| {
                for (delta, kept) in delta.iter_mut().zip(kept) {
                    *delta *= functions::gelu_slope(*kept);
                }
            },
        );
        Ok(Some(delta))
    }
}

#[cfg(feature = "burn")]
impl DeviceLayer for Gelu {
    fn run(&self, _pass: &mut Pass<'_>, input: Flow) -> Flow {
        input.map(gelu, gelu)
    }
}
