//! Multi-head self-attention (Vaswani et al., arXiv:1706.03762).

#[cfg(feature = "burn")]
use burn::tensor::Tensor;
#[cfg(feature = "burn")]
use burn::tensor::activation::softmax;

use disinherit_data::ImageShape;

use super::initial::Initial;
use super::operation::{Following, Operation, Tensors};
#[cfg(feature = "burn")]
use crate::cpu::attention::NEVER;
use crate::cpu::attention::{CpuAttention, Projection};
use crate::cpu::layer::CpuLayer;
use crate::cpu::weights::Weights;
#[cfg(feature = "burn")]
use crate::device::parameters::{Builder, MatrixAt, VectorAt};
#[cfg(feature = "burn")]
use crate::device::pass::{DeviceLayer, Flow, Pass};
use crate::error::NetError;

/// Scaled dot products of every head, a softmax over the positions that are no padding, and an
/// output projection.
///
/// # Shapes
/// Projections: `[size, size]` and `[size]` each, or one of `[3 * size, size]` and `[3 * size]`; the
/// output: `[size, size]` and `[size]`.
#[derive(Debug, Clone)]
pub(crate) struct Attention {
    /// Weight and bias of the projections to queries, keys and values: three pairs, or one for all
    /// three.
    pub(crate) projections: Vec<[String; 2]>,
    /// The output projection's name.
    pub(crate) output: String,
    /// Values of a position.
    pub(crate) size: usize,
    /// Heads.
    pub(crate) heads: usize,
}

impl Operation for Attention {
    fn tensors(&self) -> Tensors {
        let size = self.size;
        let rows = 3 * size / self.projections.len().max(1);
        let mut list = Vec::new();
        for [weight, bias] in &self.projections {
            list.push((weight.clone(), vec![rows, size]));
            list.push((bias.clone(), vec![rows]));
        }
        list.push((format!("{}.weight", self.output), vec![size, size]));
        list.push((format!("{}.bias", self.output), vec![size]));
        list
    }

    fn initial(&self, _tensor: &str, shape: &[usize]) -> Initial {
        if shape.len() == 2 {
            Initial::Uniform((3.0 / self.size as f32).sqrt())
        } else {
            Initial::Constant(0.0)
        }
    }

    /// Queries, keys, values, what the heads make of them, and every head's shares.
    fn values(&self, output: ImageShape) -> usize {
        let positions = output.height * output.width;
        5 * output.len() + self.heads * positions * positions
    }

    fn cpu(
        &self,
        weights: &Weights<'_>,
        _following: &mut Following<'_>,
    ) -> Result<Option<Box<dyn CpuLayer>>, NetError> {
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for [of_weight, of_bias] in &self.projections {
            weight.extend_from_slice(weights.named(of_weight)?);
            bias.extend_from_slice(weights.named(of_bias)?);
        }
        let projections = self
            .projections
            .iter()
            .map(|[weight, _]| projection(weight));
        Ok(Some(Box::new(CpuAttention {
            projections: projections.collect(),
            weight,
            bias,
            output: self.output.clone(),
            output_weight: weights.tensor(&self.output, "weight")?.to_vec(),
            output_bias: weights.tensor(&self.output, "bias")?.to_vec(),
            heads: self.heads,
        })))
    }

    #[cfg(feature = "burn")]
    fn device(&self, builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError> {
        let mut pair = |weight: &str, bias: &str| -> Result<_, NetError> {
            Ok((builder.matrix(weight)?, builder.vector(bias)?))
        };
        let projections = self
            .projections
            .iter()
            .map(|[weight, bias]| pair(weight, bias))
            .collect::<Result<_, NetError>>()?;
        let output = ["weight", "bias"].map(|part| format!("{}.{part}", self.output));
        Ok(Box::new(DeviceAttention {
            projections,
            output: pair(&output[0], &output[1])?,
            heads: self.heads,
        }))
    }
}

/// Where the tensors of a projection are, by the name of its weight: `query.weight`, or PyTorch's
/// `in_proj_weight` of all three.
fn projection(weight: &str) -> Projection {
    let (name, part) = weight.rsplit_once('.').unwrap_or(("", weight));
    Projection {
        name: name.to_owned(),
        parts: match part {
            "weight" => ["weight", "bias"],
            _ => ["in_proj_weight", "in_proj_bias"],
        },
    }
}

#[cfg(feature = "burn")]
struct DeviceAttention {
    projections: Vec<(MatrixAt, VectorAt)>,
    output: (MatrixAt, VectorAt),
    heads: usize,
}

#[cfg(feature = "burn")]
impl DeviceLayer for DeviceAttention {
    fn run(&self, pass: &mut Pass<'_>, input: Flow) -> Flow {
        let x = input.sequence();
        let [batch, positions, size] = x.dims();
        let mut parts: Vec<Tensor<3>> = self
            .projections
            .iter()
            .map(|(weight, bias)| pass.projected(x.clone(), *weight, *bias))
            .collect();
        if let [all] = &parts[..] {
            parts = (0..3)
                .map(|part| all.clone().narrow(2, part * size, size))
                .collect();
        }
        let (heads, each) = (self.heads, size / self.heads);
        let split = |x: Tensor<3>| x.reshape([batch, positions, heads, each]).swap_dims(1, 2);
        let mut parts = parts.into_iter().map(split);
        let (Some(query), Some(key), Some(value)) = (parts.next(), parts.next(), parts.next())
        else {
            return Flow::Sequence(x);
        };
        let mut scores = query.matmul(key.swap_dims(2, 3)) / (each as f64).sqrt();
        if let Some(mask) = &pass.mask {
            let never = (mask.clone() - 1.0) * f64::from(-NEVER);
            scores = scores + never.reshape([batch, 1, 1, positions]);
        }
        let mixed = softmax(scores, 3).matmul(value);
        let mixed = mixed.swap_dims(1, 2).reshape([batch, positions, size]);
        Flow::Sequence(pass.projected(mixed, self.output.0, self.output.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::checks::{Case, sequences};
    use crate::ops::operation::Op;

    #[test]
    fn the_way_back_is_that_of_the_way_there() {
        let pair = |name: &str| ["weight", "bias"].map(|part| format!("{name}.{part}"));
        let packed = ["in_proj_weight", "in_proj_bias"].map(|part| format!("attention.{part}"));
        let three = vec![
            pair("attention.q"),
            pair("attention.k"),
            pair("attention.v"),
        ];
        for projections in [three, vec![packed]] {
            for input in sequences(6) {
                let layer = Attention {
                    projections: projections.clone(),
                    output: "attention.out".into(),
                    size: 6,
                    heads: 2,
                };
                let case = Case::new(vec![Op::new(layer)], input);
                case.check(true);
                case.check_nothing();
            }
        }
    }
}
