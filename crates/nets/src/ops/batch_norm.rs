//! Batch normalisation (Ioffe and Szegedy, arXiv:1502.03167).

use fiun::FisherError;

use super::initial::Initial;
use super::operation::{Following, Op, Operation, Part, Tensors};
use crate::cpu::layer::{
    Affine, Backward, BatchStatistics, CpuLayer, Fused, Gradient, Record, Tapped,
};
use crate::cpu::maps::Maps;
use crate::cpu::rows::{change, change_alone, column_sums};
use crate::cpu::weights::Weights;
#[cfg(feature = "burn")]
use crate::device::parameters::{Builder, NormAt};
#[cfg(feature = "burn")]
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
        if weights.go_by_batch(&self.name) {
            return Ok(Some(Box::new(BatchNormOfBatch {
                name: self.name.clone(),
                weight: weights.tensor(&self.name, "weight")?.to_vec(),
                bias: weights.tensor(&self.name, "bias")?.to_vec(),
            })));
        }
        Ok(Some(Box::new(self.fixed(weights)?)))
    }

    #[cfg(feature = "burn")]
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
        for_rows(&mut maps, |row| {
            for ((value, factor), shift) in row.iter_mut().zip(factor).zip(shift) {
                *value = *value * factor + shift;
            }
        });
        Ok(maps)
    }

    fn record(&self, input: Maps, record: &mut Record) -> Result<Maps, FisherError> {
        let out = scaled(&input, &self.affine.factor, &self.affine.shift);
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
        let gradients = || {
            let centred = |value: f32, delta: f32, mean: f32| (value - mean) * delta;
            let mut weight = column_sums(&input.values, &delta.values, &self.mean, centred);
            let variances = weight.iter_mut().zip(&self.variance);
            variances.for_each(|(sum, variance)| *sum /= (variance + EPSILON).sqrt());
            let weight = Gradient::new("weight", weight);
            Ok(vec![weight, Gradient::new("bias", delta.sums())])
        };
        let shown = Tapped {
            name: &self.name,
            squares: &squares,
            gradients: &gradients,
        };
        if !pass.show(shown)? {
            return Ok(None);
        }
        let factor = &self.affine.factor;
        for_rows(&mut delta, |row| {
            let pairs = row.iter_mut().zip(factor);
            pairs.for_each(|(value, factor)| *value *= factor);
        });
        Ok(Some(delta))
    }
}

/// With the statistics of each batch.
struct BatchNormOfBatch {
    name: String,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl BatchNormOfBatch {
    /// Mean and variance of every channel, over samples and positions.
    fn statistics(maps: &Maps) -> [Vec<f32>; 2] {
        let rows = (maps.values.len() / maps.channels.max(1)).max(1) as f32;
        let mut mean = maps.sums();
        mean.iter_mut().for_each(|sum| *sum /= rows);
        let centred = |value: f32, _, mean: f32| (value - mean).powi(2);
        let mut variance = column_sums(&maps.values, &maps.values, &mean, centred);
        variance.iter_mut().for_each(|sum| *sum /= rows);
        [mean, variance]
    }

    /// Maps become what they are in deviations; given are the inverse deviations.
    fn normalise(maps: &mut Maps, mean: &[f32], variance: &[f32]) -> Vec<f32> {
        let inverse: Vec<f32> = variance
            .iter()
            .map(|v| 1.0 / (v + EPSILON).sqrt())
            .collect();
        for_rows(maps, |row| {
            for ((value, mean), inverse) in row.iter_mut().zip(mean).zip(&inverse) {
                *value = (*value - mean) * inverse;
            }
        });
        inverse
    }
}

/// What maps become with a factor and a shift of each channel.
fn scaled(maps: &Maps, factors: &[f32], shifts: &[f32]) -> Maps {
    let channels = maps.channels.max(1);
    let mut out = maps.with(vec![0.0; maps.values.len()]);
    change(
        &mut out.values,
        &maps.values,
        channels,
        #[inline(always)]
        |out, values| {
            let rows = out.chunks_exact_mut(channels);
            for (out, values) in rows.zip(values.chunks_exact(channels)) {
                let each = out.iter_mut().zip(values).zip(factors).zip(shifts);
                each.for_each(|(((out, value), factor), shift)| *out = value * factor + shift);
            }
        },
    );
    out
}

/// Changes every position of some maps.
fn for_rows(maps: &mut Maps, run: impl Fn(&mut [f32]) + Sync) {
    let channels = maps.channels.max(1);
    change_alone(
        &mut maps.values,
        channels,
        #[inline(always)]
        |part| {
            part.chunks_exact_mut(channels).for_each(&run);
        },
    );
}

impl CpuLayer for BatchNormOfBatch {
    fn forward(&self, mut maps: Maps, _threads: usize) -> Result<Maps, FisherError> {
        let [mean, variance] = Self::statistics(&maps);
        Self::normalise(&mut maps, &mean, &variance);
        Ok(scaled(&maps, &self.weight, &self.bias))
    }

    fn record(&self, mut maps: Maps, record: &mut Record) -> Result<Maps, FisherError> {
        let [mean, mut variance] = Self::statistics(&maps);
        let inverse = Self::normalise(&mut maps, &mean, &variance);
        let rows = (maps.values.len() / maps.channels.max(1)) as f32;
        if rows > 1.0 {
            variance.iter_mut().for_each(|v| *v *= rows / (rows - 1.0));
        }
        record.training.statistics.push(BatchStatistics {
            name: self.name.clone(),
            mean,
            variance,
        });
        let out = scaled(&maps, &self.weight, &self.bias);
        record.keep_factors(maps, inverse);
        Ok(out)
    }

    fn backward(&self, mut delta: Maps, pass: &mut Backward<'_>) -> Result<Option<Maps>, NetError> {
        let kept = pass.kept()?;
        let (normal, channels) = (&kept.maps.values, delta.channels);
        let along = column_sums(normal, &delta.values, &vec![0.0; channels], |x, d, _| x * d);
        let sum = delta.sums();
        let shown = Tapped {
            name: &self.name,
            squares: &|_| Ok(Vec::new()),
            gradients: &|| {
                let weight = Gradient::new("weight", along.clone());
                Ok(vec![weight, Gradient::new("bias", sum.clone())])
            },
        };
        if !pass.show(shown)? {
            return Ok(None);
        }
        let rows = (normal.len() / channels.max(1)).max(1) as f32;
        let factor: Vec<f32> = (self.weight.iter().zip(&kept.factors))
            .map(|(weight, inverse)| weight * inverse)
            .collect();
        change(
            &mut delta.values,
            normal,
            channels,
            #[inline(always)]
            |part, normal| {
                let pairs = part.chunks_exact_mut(channels);
                for (row, normal) in pairs.zip(normal.chunks_exact(channels)) {
                    let each = row
                        .iter_mut()
                        .zip(normal)
                        .zip(&factor)
                        .zip(&sum)
                        .zip(&along);
                    for ((((d, x), factor), sum), along) in each {
                        *d = factor * (*d - (sum + x * along) / rows);
                    }
                }
            },
        );
        Ok(Some(delta))
    }
}

#[cfg(feature = "burn")]
struct DeviceNorm(NormAt);

#[cfg(feature = "burn")]
impl DeviceLayer for DeviceNorm {
    fn run(&self, pass: &mut Pass<'_>, input: Flow) -> Flow {
        Flow::Maps(pass.normalised(self.0, input.maps()))
    }
}
