//! Layer normalisation over the values of a position (Ba et al., arXiv:1607.06450).

use super::initial::Initial;
use super::operation::{Op, Operation, Part, Tensors};
#[cfg(feature = "burn")]
use crate::device::parameters::{Builder, VectorAt};
#[cfg(feature = "burn")]
use crate::device::pass::{DeviceLayer, Flow, Pass};
#[cfg(feature = "burn")]
use crate::error::NetError;

/// `(x - mean) / sqrt(variance + epsilon) * weight + bias`.
///
/// # Shapes
/// `weight`, `bias`: `[size]`.
#[derive(Debug, Clone)]
pub(crate) struct LayerNorm {
    name: String,
    size: usize,
    #[cfg_attr(not(feature = "burn"), allow(dead_code))]
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

    #[cfg(feature = "burn")]
    fn device(&self, builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError> {
        Ok(Box::new(DeviceLayerNorm {
            weight: builder.vector(&format!("{}.weight", self.name))?,
            bias: builder.vector(&format!("{}.bias", self.name))?,
            epsilon: self.epsilon,
        }))
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
