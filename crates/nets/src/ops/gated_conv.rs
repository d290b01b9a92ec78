//! A gated convolution over positions (Dauphin et al., arXiv:1612.08083).

#[cfg(feature = "burn")]
use burn::tensor::activation::sigmoid;
#[cfg(feature = "burn")]
use burn::tensor::module::conv1d;
#[cfg(feature = "burn")]
use burn::tensor::ops::ConvOptions;

use disinherit_data::ImageShape;

use super::initial::Initial;
use super::operation::{Following, Operation, Tensors};
use crate::cpu::gated_conv::{CpuGatedConv, Windows};
use crate::cpu::layer::CpuLayer;
use crate::cpu::weights::Weights;
#[cfg(feature = "burn")]
use crate::device::parameters::{Builder, CubeAt, VectorAt};
#[cfg(feature = "burn")]
use crate::device::pass::{DeviceLayer, Flow, Pass};
use crate::error::NetError;

/// Half of a convolution's outputs, weighed by the sigmoid of the other half, added to the input.
///
/// # Shapes
/// `weight`: `[2 * channels, channels, kernel]`; `bias`: `[2 * channels]`.
#[derive(Debug, Clone)]
pub(crate) struct GatedConv {
    /// The layer's name.
    pub(crate) name: String,
    /// Values of a position.
    pub(crate) channels: usize,
    /// Positions of a window, odd.
    pub(crate) kernel: usize,
}

impl Operation for GatedConv {
    fn tensors(&self) -> Tensors {
        let outputs = 2 * self.channels;
        vec![
            (
                format!("{}.weight", self.name),
                vec![outputs, self.channels, self.kernel],
            ),
            (format!("{}.bias", self.name), vec![outputs]),
        ]
    }

    fn initial(&self, _tensor: &str, _shape: &[usize]) -> Initial {
        Initial::for_fan(self.channels * self.kernel)
    }

    /// Both halves of what the convolution gives, and the output.
    fn values(&self, output: ImageShape) -> usize {
        3 * output.len()
    }

    fn cpu(
        &self,
        weights: &Weights<'_>,
        _following: &mut Following<'_>,
    ) -> Result<Option<Box<dyn CpuLayer>>, NetError> {
        let weight = weights.tensor(&self.name, "weight")?.to_vec();
        let windows = Windows {
            channels: self.channels,
            kernel: self.kernel,
        };
        Ok(Some(Box::new(CpuGatedConv {
            name: self.name.clone(),
            windows,
            weight: windows.kernel_by_positions(weight),
            bias: weights.tensor(&self.name, "bias")?.to_vec(),
        })))
    }

    #[cfg(feature = "burn")]
    fn device(&self, builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError> {
        Ok(Box::new(DeviceGatedConv {
            weight: builder.cube(&format!("{}.weight", self.name))?,
            bias: builder.vector(&format!("{}.bias", self.name))?,
            kernel: self.kernel,
        }))
    }
}

#[cfg(feature = "burn")]
struct DeviceGatedConv {
    weight: CubeAt,
    bias: VectorAt,
    kernel: usize,
}

#[cfg(feature = "burn")]
impl DeviceLayer for DeviceGatedConv {
    fn run(&self, pass: &mut Pass<'_>, input: Flow) -> Flow {
        let x = input.sequence();
        let channels = x.dims()[2];
        let visible = match &pass.mask {
            Some(mask) => x.clone() * mask.clone().unsqueeze_dim(2),
            None => x.clone(),
        };
        let out = conv1d(
            visible.swap_dims(1, 2),
            pass.cube(self.weight),
            Some(pass.vector(self.bias)),
            ConvOptions::new([1], [self.kernel / 2], [1], 1),
        );
        let out = out.swap_dims(1, 2);
        let gate = sigmoid(out.clone().narrow(2, channels, channels));
        Flow::Sequence(x + out.narrow(2, 0, channels) * gate)
    }
}
