//! The Gaussian error linear unit, exact (Hendrycks and Gimpel, arXiv:1606.08415).

#[cfg(feature = "burn")]
use burn::tensor::activation::gelu;
use fiun::FisherError;

use super::operation::{Following, Operation};
use crate::cpu::functions;
use crate::cpu::layer::{Backward, CpuLayer, Record};
use crate::cpu::maps::Maps;
use crate::cpu::rows::{change, change_alone, change_both};
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

    /// Keeps the slopes.
    fn record(&self, mut maps: Maps, record: &mut Record) -> Result<Maps, FisherError> {
        let mut slopes = vec![0.0; maps.values.len()];
        change_both(
            &mut maps.values,
            &mut slopes,
            #[inline(always)]
            |values, slopes| {
                for (value, slope) in values.iter_mut().zip(slopes) {
                    (*value, *slope) = functions::gelu_with_slope(*value);
                }
            },
        );
        record.keep(maps.with(slopes));
        Ok(maps)
    }

    fn backward(&self, mut delta: Maps, pass: &mut Backward<'_>) -> Result<Option<Maps>, NetError> {
        let slopes = pass.kept()?.maps;
        change(
            &mut delta.values,
            &slopes.values,
            1,
            #[inline(always)]
            |delta, slopes| {
                let pairs = delta.iter_mut().zip(slopes);
                pairs.for_each(|(delta, slope)| *delta *= slope);
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
