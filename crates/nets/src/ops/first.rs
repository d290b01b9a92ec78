//! The first position of a sequence.

use disinherit_data::ImageShape;
use fiun::FisherError;

use super::operation::{Following, Operation, Part};
use crate::cpu::layer::{Backward, CpuLayer, Record};
use crate::cpu::maps::Maps;
use crate::cpu::weights::Weights;
#[cfg(feature = "burn")]
use crate::device::parameters::Builder;
#[cfg(feature = "burn")]
use crate::device::pass::{DeviceLayer, Flow, Pass};
use crate::error::NetError;

/// Where BERT and ViT gather what they say about a whole sequence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct First;

impl Operation for First {
    fn part(&self) -> Part<'_> {
        Part::First
    }

    fn output(&self, input: ImageShape) -> Option<ImageShape> {
        Some(ImageShape { height: 1, ..input })
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

impl First {
    /// Of every sample the values of its first position.
    pub(crate) fn positions(input: &Maps) -> Maps {
        let samples = input.values.chunks_exact(input.per_sample().max(1));
        let first = samples.flat_map(|sample| &sample[..input.channels]);
        let values = first.copied().collect();
        Maps::new(input.samples, [1, 1], input.channels, values)
    }
}

impl CpuLayer for First {
    fn forward(&self, input: Maps, _threads: usize) -> Result<Maps, FisherError> {
        Ok(Self::positions(&input))
    }

    fn record(&self, input: Maps, record: &mut Record) -> Result<Maps, FisherError> {
        record.keep(input.with(Vec::new()));
        Ok(Self::positions(&input))
    }

    fn backward(&self, delta: Maps, pass: &mut Backward<'_>) -> Result<Option<Maps>, NetError> {
        let input = pass.kept()?.maps;
        let mut values = vec![0.0; input.samples * input.per_sample()];
        let samples = values.chunks_exact_mut(input.per_sample().max(1));
        for (sample, first) in samples.zip(delta.values.chunks_exact(input.channels.max(1))) {
            sample[..input.channels].copy_from_slice(first);
        }
        Ok(Some(input.with(values)))
    }
}

#[cfg(feature = "burn")]
impl DeviceLayer for First {
    fn run(&self, _pass: &mut Pass<'_>, input: Flow) -> Flow {
        let x = input.sequence();
        let [batch, _, values] = x.dims();
        Flow::Vectors(x.narrow(1, 0, 1).reshape([batch, values]))
    }
}
