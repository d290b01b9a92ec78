//! Batch normalisation (Ioffe and Szegedy, arXiv:1502.03167).

use fiun::FisherError;

use super::initial::Initial;
use super::operation::{Following, Op, Operation, Part, Tensors};
use crate::cpu::layer::{Affine, Backward, CpuLayer, Fused, Record};
use crate::cpu::maps::Maps;
use crate::cpu::weights::Weights;
use crate::device::parameters::{Builder, NormAt};
use crate::device::pass::{DeviceLayer, Flow, Pass};
use crate::error::NetError;

/// Added to the variance: PyTorch's default.
pub(crate) const EPSILON: f32 = 1e-5;

/// `(x - mean) / sqrt(variance + 1e-5) * weight + bias`, channel by channel: with the batch's
/// statistics in training, with the running ones in evaluation.
///
/// # Shapes
/// `weight`, `bias`, `running_mean`, `running_var`: `[channels]`.
#[derive(Debug, Clone)]
pub(crate) struct BatchNorm {
    name: String,
    channels: usize,
}

/// Batch normalisation of so many channels.
pub(crate) fn batch_norm(name: impl Into<String>, channels: usize) -> Op {
    Op::new(BatchNorm {
        name: name.into(),
        channels,
    })
}

impl BatchNorm {
    fn fixed(&self, weights: &Weights<'_>) -> Result<CpuNorm, NetError> {
        let part = |part| weights.tensor(&self.name, part);
        let (mean, variance) = (part("running_mean")?, part("running_var")?);
        let factor: Vec<f32> = part("weight")?
            .iter()
            .zip(variance)
            .map(|(weight, variance)| weight / (variance + EPSILON).sqrt())
            .collect();
        let shift = part("bias")?
            .iter()
            .zip(mean)
            .zip(&factor)
            .map(|((bias, mean), factor)| bias - mean * factor)
            .collect();
        Ok(CpuNorm {
            name: self.name.clone(),
            mean: mean.to_vec(),
            variance: variance.to_vec(),
            affine: Affine { factor, shift },
        })
    }
}

impl Operation for BatchNorm {
    fn tensors(&self) -> Tensors {
        ["weight", "bias", "running_mean", "running_var"]
            .map(|part| (format!("{}.{part}", self.name), vec![self.channels]))
            .to_vec()
    }

    fn initial(&self, tensor: &str, _shape: &[usize]) -> Initial {
        Initial::for_norm(tensor)
    }

    fn part(&self) -> Part<'_> {
        Part::Norm(&self.name)
    }

    fn fused(&self, weights: &Weights<'_>) -> Result<Option<Fused>, NetError> {
        Ok(Some(Fused::Affine(self.fixed(weights)?.affine)))
    }

    fn cpu(
        &self,
        weights: &Weights<'_>,
        _following: &mut Following<'_>,
    ) -> Result<Option<Box<dyn CpuLayer>>, NetError> {
        Ok(Some(Box::new(self.fixed(weights)?)))
    }

    fn device(&self, builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError> {
        let norm = builder.norm(&self.name, self.channels)?;
        Ok(Box::new(DeviceNorm(norm)))
    }
}

/// With fixed statistics, as a factor and a shift of each channel.
struct CpuNorm {
    name: String,
    mean: Vec<f32>,
    variance: Vec<f32>,
    affine: Affine,
}

impl CpuLayer for CpuNorm {
    fn forward(&self, mut maps: Maps, _threads: usize) -> Result<Maps, FisherError> {
        let Affine { factor, shift } = &self.affine;
        for row in maps.values.chunks_exact_mut(factor.len().max(1)) {
            for ((value, factor), shift) in row.iter_mut().zip(factor).zip(shift) {
                *value = *value * factor + shift;
            }
        }
        Ok(maps)
    }

    fn record(&self, input: Maps, record: &mut Record) -> Result<Maps, FisherError> {
        let out = self.forward(input.clone(), record.threads)?;
        record.keep(input);
        Ok(out)
    }

    fn backward(&self, mut delta: Maps, pass: &mut Backward<'_>) -> Result<Option<Maps>, NetError> {
        let input = pass.kept()?.maps;
        let layer = fiun::layers::BatchNorm {
            mean: &self.mean,
            variance: &self.variance,
            epsilon: EPSILON,
        };
        let squares = |groups| layer.squares(groups, &input.values, &delta.values);
        if !pass.show(&self.name, &squares)? {
            return Ok(None);
        }
        let factor = &self.affine.factor;
        for row in delta.values.chunks_exact_mut(factor.len().max(1)) {
            row.iter_mut()
                .zip(factor)
                .for_each(|(value, factor)| *value *= factor);
        }
        Ok(Some(delta))
    }
}

struct DeviceNorm(NormAt);

impl DeviceLayer for DeviceNorm {
    fn run(&self, pass: &mut Pass<'_>, input: Flow) -> Flow {
        Flow::Maps(pass.normalised(self.0, input.maps()))
    }
}
