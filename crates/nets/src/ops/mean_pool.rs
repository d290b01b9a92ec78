//! The mean over a sequence.

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

/// The mean over all positions that are no padding.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MeanPool;

impl Operation for MeanPool {
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

/// What every position counts in the mean over its sample: the same for all that are no padding.
fn shares(input: &Maps) -> Vec<f32> {
    let positions = input.positions();
    let Some(mask) = &input.mask else {
        return vec![1.0 / positions.max(1) as f32; input.samples * positions];
    };
    let samples = mask.chunks_exact(positions.max(1));
    let shares = samples.flat_map(|mask| {
        let count = mask.iter().sum::<f32>().max(1.0);
        mask.iter().map(move |seen| seen / count)
    });
    shares.collect()
}

impl CpuLayer for MeanPool {
    fn forward(&self, input: Maps, _threads: usize) -> Result<Maps, FisherError> {
        let mut means = Maps::zeros(input.samples, [1, 1], input.channels);
        let channels = input.channels.max(1);
        let samples = input.values.chunks_exact(input.per_sample().max(1));
        let shares = shares(&input);
        let shares = shares.chunks_exact(input.positions().max(1));
        let means_of = means.values.chunks_exact_mut(channels);
        for ((mean, sample), shares) in means_of.zip(samples).zip(shares) {
            for (position, share) in sample.chunks_exact(channels).zip(shares) {
                let pairs = mean.iter_mut().zip(position);
                pairs.for_each(|(mean, value)| *mean += share * value);
            }
        }
        Ok(means)
    }

    fn record(&self, input: Maps, record: &mut Record) -> Result<Maps, FisherError> {
        record.keep(input.with(Vec::new()));
        self.forward(input, record.threads)
    }

    fn backward(&self, delta: Maps, pass: &mut Backward<'_>) -> Result<Option<Maps>, NetError> {
        let input = pass.kept()?.maps;
        let (channels, positions) = (input.channels.max(1), input.positions().max(1));
        let shares = shares(&input);
        let mut values = Vec::with_capacity(input.samples * input.per_sample());
        let samples = delta.values.chunks_exact(channels);
        for (delta, shares) in samples.zip(shares.chunks_exact(positions)) {
            for share in shares {
                values.extend(delta.iter().map(|value| share * value));
            }
        }
        Ok(Some(input.with(values)))
    }
}

#[cfg(feature = "burn")]
impl DeviceLayer for MeanPool {
    fn run(&self, pass: &mut Pass<'_>, input: Flow) -> Flow {
        let x = input.sequence();
        let [batch, positions, values] = x.dims();
        Flow::Vectors(match &pass.mask {
            Some(mask) => {
                let count = mask.clone().sum_dim(1).clamp_min(1.0);
                let sum = (x * mask.clone().unsqueeze_dim(2)).sum_dim(1);
                sum.reshape([batch, values]) / count
            }
            None => x.sum_dim(1).reshape([batch, values]) / positions as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::checks::{Case, sequences};
    use crate::ops::first::First;
    use crate::ops::gelu::Gelu;
    use crate::ops::operation::Op;
    use crate::ops::tanh::Tanh;

    /// With the other steps that have no weights.
    #[test]
    fn the_way_back_is_that_of_the_way_there() {
        for input in sequences(5) {
            for program in [
                vec![Op::new(MeanPool)],
                vec![Op::new(Gelu), Op::new(MeanPool), Op::new(Tanh)],
                vec![Op::new(Tanh), Op::new(First), Op::new(Gelu)],
            ] {
                let case = Case::new(program, input.clone());
                assert_eq!(case.output(1).size, [1, 1]);
                case.check(true);
                case.check_nothing();
            }
        }
    }
}
