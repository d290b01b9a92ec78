//! Layer normalisation over the values of a position (Ba et al., arXiv:1607.06450).

use fiun::{FisherError, dot, sum};

use super::initial::Initial;
use super::operation::{Following, Op, Operation, Part, Tensors};
use crate::cpu::layer::{Backward, CpuLayer, Gradient, Record, Tapped};
use crate::cpu::maps::Maps;
use crate::cpu::rows::{change, change_alone};
use crate::cpu::weights::Weights;
#[cfg(feature = "burn")]
use crate::device::parameters::{Builder, VectorAt};
#[cfg(feature = "burn")]
use crate::device::pass::{DeviceLayer, Flow, Pass};
use crate::error::NetError;

/// `(x - mean) / sqrt(variance + epsilon) * weight + bias`.
///
/// # Shapes
/// `weight`, `bias`: `[size]`.
#[derive(Debug, Clone)]
pub(crate) struct LayerNorm {
    name: String,
    size: usize,
    epsilon: f64,
}

/// Layer normalisation of so many values; `epsilon` is added to the variance.
pub(crate) fn layer_norm(name: impl Into<String>, size: usize, epsilon: f64) -> Op {
    Op::new(LayerNorm {
        name: name.into(),
        size,
        epsilon,
    })
}

impl Operation for LayerNorm {
    fn tensors(&self) -> Tensors {
        ["weight", "bias"]
            .map(|part| (format!("{}.{part}", self.name), vec![self.size]))
            .to_vec()
    }

    fn initial(&self, tensor: &str, _shape: &[usize]) -> Initial {
        Initial::for_norm(tensor)
    }

    fn part(&self) -> Part<'_> {
        Part::Step
    }

    fn cpu(
        &self,
        weights: &Weights<'_>,
        _following: &mut Following<'_>,
    ) -> Result<Option<Box<dyn CpuLayer>>, NetError> {
        Ok(Some(Box::new(CpuLayerNorm {
            name: self.name.clone(),
            weight: weights.tensor(&self.name, "weight")?.to_vec(),
            bias: weights.tensor(&self.name, "bias")?.to_vec(),
            epsilon: self.epsilon as f32,
        })))
    }

    #[cfg(feature = "burn")]
    fn device(&self, builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError> {
        Ok(Box::new(DeviceLayerNorm {
            weight: builder.vector(&format!("{}.weight", self.name))?,
            bias: builder.vector(&format!("{}.bias", self.name))?,
            epsilon: self.epsilon,
        }))
    }
}

struct CpuLayerNorm {
    name: String,
    weight: Vec<f32>,
    bias: Vec<f32>,
    epsilon: f32,
}

impl CpuLayerNorm {
    /// Subtracts its mean from a row and gives one over its deviation.
    #[inline(always)]
    fn centred(&self, row: &mut [f32]) -> f32 {
        let count = row.len() as f32;
        let mean = sum(row, |value| value) / count;
        row.iter_mut().for_each(|value| *value -= mean);
        let variance = sum(row, |value| value * value) / count;
        (variance + self.epsilon).sqrt().recip()
    }

    /// Rows as they are before weight and bias.
    fn normalised(&self, mut rows: Vec<f32>) -> Vec<f32> {
        let channels = self.weight.len().max(1);
        change_alone(
            &mut rows,
            channels,
            #[inline(always)]
            |rows| {
                for row in rows.chunks_exact_mut(channels) {
                    let factor = self.centred(row);
                    row.iter_mut().for_each(|value| *value *= factor);
                }
            },
        );
        rows
    }

    /// The gradient at a row, from that at its output.
    #[inline(always)]
    fn back(&self, delta: &mut [f32], row: &mut [f32]) {
        let factor = self.centred(row);
        row.iter_mut().for_each(|value| *value *= factor);
        let pairs = delta.iter_mut().zip(&self.weight);
        pairs.for_each(|(delta, weight)| *delta *= weight);
        let count = row.len() as f32;
        let mean = sum(delta, |value| value) / count;
        let along = dot(delta, row) / count;
        for (delta, value) in delta.iter_mut().zip(row) {
            *delta = factor * (*delta - mean - along * *value);
        }
    }
}

impl CpuLayer for CpuLayerNorm {
    fn forward(&self, mut input: Maps, _threads: usize) -> Result<Maps, FisherError> {
        let channels = self.weight.len().max(1);
        change_alone(
            &mut input.values,
            channels,
            #[inline(always)]
            |rows| {
                for row in rows.chunks_exact_mut(channels) {
                    let factor = self.centred(row);
                    let affine = self.weight.iter().zip(&self.bias);
                    for (value, (weight, bias)) in row.iter_mut().zip(affine) {
                        *value = *value * factor * weight + bias;
                    }
                }
            },
        );
        Ok(input)
    }

    fn record(&self, input: Maps, record: &mut Record) -> Result<Maps, FisherError> {
        record.keep(input.clone());
        self.forward(input, record.threads)
    }

    fn backward(&self, mut delta: Maps, pass: &mut Backward<'_>) -> Result<Option<Maps>, NetError> {
        let input = pass.kept()?.maps;
        let layer = fiun::layers::LayerNorm {
            channels: self.weight.len(),
            epsilon: self.epsilon,
        };
        let squares = |groups| layer.squares(groups, &input.values, &delta.values);
        let gradients = || {
            let mut along = delta.with(self.normalised(input.values.clone()));
            change(
                &mut along.values,
                &delta.values,
                1,
                #[inline(always)]
                |along, delta| {
                    let pairs = along.iter_mut().zip(delta);
                    pairs.for_each(|(value, delta)| *value *= delta);
                },
            );
            let weight = Gradient::new("weight", along.sums());
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
        let channels = self.weight.len().max(1);
        change(
            &mut delta.values,
            &input.values,
            channels,
            #[inline(always)]
            |delta, input| {
                let mut row = vec![0.0; channels];
                let rows = input.chunks_exact(channels);
                for (delta, input) in delta.chunks_exact_mut(channels).zip(rows) {
                    row.copy_from_slice(input);
                    self.back(delta, &mut row);
                }
            },
        );
        Ok(Some(delta))
    }
}

#[cfg(feature = "burn")]
struct DeviceLayerNorm {
    weight: VectorAt,
    bias: VectorAt,
    epsilon: f64,
}

#[cfg(feature = "burn")]
impl DeviceLayer for DeviceLayerNorm {
    fn run(&self, pass: &mut Pass<'_>, input: Flow) -> Flow {
        let x = input.sequence();
        let centred = x.clone() - x.mean_dim(2);
        let variance = centred.clone().powi_scalar(2).mean_dim(2);
        let normal = centred / (variance + self.epsilon).sqrt();
        let (weight, bias) = (pass.vector(self.weight), pass.vector(self.bias));
        Flow::Sequence(normal * weight.unsqueeze::<3>() + bias.unsqueeze::<3>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::checks::{Case, sequences};

    /// Of rows that fill registers and of such that do not.
    #[test]
    fn the_way_back_is_that_of_the_way_there() {
        for size in [5, 19] {
            let [input, _] = sequences(size);
            let case = Case::new(vec![layer_norm("norm", size, 1e-5)], input);
            case.check(true);
            case.check_nothing();
        }
    }
}
