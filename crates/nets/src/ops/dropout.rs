//! Dropout (Srivastava et al., JMLR 15, 2014).

#[cfg(feature = "burn")]
use burn::tensor::{Tensor, TensorData};
use fiun::FisherError;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::operation::{Following, Operation};
use crate::cpu::layer::{Backward, CpuLayer, Record};
use crate::cpu::maps::Maps;
use crate::cpu::weights::{Purpose, Weights};
#[cfg(feature = "burn")]
use crate::device::parameters::Builder;
#[cfg(feature = "burn")]
use crate::device::pass::{DeviceLayer, Flow, Pass};
use crate::error::NetError;

/// In training, zeroes values with this probability and divides the others by what is left of 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dropout(pub(crate) f64);

impl Operation for Dropout {
    /// Evaluation drops nothing.
    fn cpu(
        &self,
        weights: &Weights<'_>,
        _following: &mut Following<'_>,
    ) -> Result<Option<Box<dyn CpuLayer>>, NetError> {
        let layer = (weights.purpose == Purpose::Training).then(|| Box::new(*self) as _);
        Ok(layer)
    }

    #[cfg(feature = "burn")]
    fn device(&self, _builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError> {
        Ok(Box::new(*self))
    }
}

impl Dropout {
    /// What some values are multiplied by.
    fn factors(self, count: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
        let kept = 1.0 / (1.0 - self.0) as f32;
        let draw = |_| if rng.random_bool(self.0) { 0.0 } else { kept };
        (0..count).map(draw).collect()
    }
}

impl CpuLayer for Dropout {
    fn forward(&self, input: Maps, _threads: usize) -> Result<Maps, FisherError> {
        Ok(input)
    }

    fn record(&self, mut input: Maps, record: &mut Record) -> Result<Maps, FisherError> {
        let factors = match &mut record.training.dropout {
            Some(rng) => self.factors(input.values.len(), rng),
            None => Vec::new(),
        };
        multiply(&mut input.values, &factors);
        record.keep_factors(input.with(Vec::new()), factors);
        Ok(input)
    }

    fn backward(&self, mut delta: Maps, pass: &mut Backward<'_>) -> Result<Option<Maps>, NetError> {
        multiply(&mut delta.values, &pass.kept()?.factors);
        Ok(Some(delta))
    }
}

/// Value by value; by nothing where nothing was dropped.
fn multiply(values: &mut [f32], factors: &[f32]) {
    let pairs = values.iter_mut().zip(factors);
    pairs.for_each(|(value, factor)| *value *= factor);
}

#[cfg(feature = "burn")]
impl DeviceLayer for Dropout {
    /// The mask is drawn on the host, so that the same seed gives the same training on every
    /// device.
    fn run(&self, pass: &mut Pass<'_>, input: Flow) -> Flow {
        let Some(rng) = &mut pass.dropout else {
            return input;
        };
        let input = input.vectors();
        let [rows, cols] = input.dims();
        let mask = self.factors(rows * cols, rng);
        let mask = Tensor::<2>::from_data(TensorData::new(mask, [rows, cols]), &input.device());
        Flow::Vectors(input * mask)
    }
}
