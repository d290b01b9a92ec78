//! The positive part.

#[cfg(feature = "burn")]
use burn::tensor::activation::relu;
use fiun::FisherError;

use super::operation::{Following, Operation};
use crate::cpu::layer::{Backward, CpuLayer, Fused, Record};
use crate::cpu::maps::Maps;
use crate::cpu::rows::{change, change_alone};
use crate::cpu::weights::Weights;
#[cfg(feature = "burn")]
use crate::device::parameters::Builder;
#[cfg(feature = "burn")]
use crate::device::pass::{DeviceLayer, Flow, Pass};
use crate::error::NetError;

/// `max(x, 0)`, value by value.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Relu;

impl Operation for Relu {
    fn fused(&self, _weights: &Weights<'_>) -> Result<Option<Fused>, NetError> {
        Ok(Some(Fused::Relu))
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

impl CpuLayer for Relu {
    fn forward(&self, mut maps: Maps, _threads: usize) -> Result<Maps, FisherError> {
        positive(&mut maps.values);
        Ok(maps)
    }

    fn record(&self, input: Maps, record: &mut Record) -> Result<Maps, FisherError> {
        let mut out = input;
        change_alone(&mut out.values, 1, positive);
        record.keep(out.clone());
        Ok(out)
    }

    fn backward(&self, mut delta: Maps, pass: &mut Backward<'_>) -> Result<Option<Maps>, NetError> {
        let output = pass.kept()?.maps;
        change(
            &mut delta.values,
            &output.values,
            1,
            #[inline(always)]
            |delta, output| {
                for (delta, output) in delta.iter_mut().zip(output) {
                    *delta = if *output > 0.0 { *delta } else { 0.0 };
                }
            },
        );
        Ok(Some(delta))
    }
}

fn positive(values: &mut [f32]) {
    values.iter_mut().for_each(|v| *v = v.max(0.0));
}

#[cfg(feature = "burn")]
impl DeviceLayer for Relu {
    fn run(&self, _pass: &mut Pass<'_>, input: Flow) -> Flow {
        input.map(relu, relu)
    }
}
