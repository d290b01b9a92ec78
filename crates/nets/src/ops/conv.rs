//! A 2-D convolution with square kernels.

#[cfg(feature = "burn")]
use burn::tensor::module::conv2d;
#[cfg(feature = "burn")]
use burn::tensor::ops::ConvOptions;
use disinherit_data::ImageShape;
use fiun::FisherError;

use super::initial::Initial;
use super::operation::{Following, LayerPart, Op, Operation, Part, Tensors, windows};
use crate::cpu::convolution::Convolution;
use crate::cpu::kernel_layout::KernelLayout;
use crate::cpu::layer::{Backward, CpuLayer, Gradient, Record, Tapped};
use crate::cpu::maps::Maps;
use crate::cpu::weights::{Weights, kernel_of};
use crate::cpu::window::Window;
#[cfg(feature = "burn")]
use crate::device::parameters::{Builder, KernelAt, VectorAt};
#[cfg(feature = "burn")]
use crate::device::pass::{DeviceLayer, Flow, Pass};
use crate::error::{NetError, backend};

/// The sum over a window of products with a kernel, zeros around the map.
///
/// # Shapes
/// `weight`: `[channels out, channels in, kernel, kernel]`; `bias`, where there is one:
/// `[channels out]`.
#[derive(Debug, Clone)]
pub(crate) struct Conv {
    name: String,
    /// Channels in and out.
    channels: [usize; 2],
    kernel: usize,
    stride: usize,
    padding: usize,
    bias: bool,
}

/// A convolution; the window is its side, its stride and its padding.
pub(crate) fn conv(
    name: impl Into<String>,
    channels: [usize; 2],
    [kernel, stride, padding]: [usize; 3],
    bias: bool,
) -> Op {
    Op::new(Conv {
        name: name.into(),
        channels,
        kernel,
        stride,
        padding,
        bias,
    })
}

impl Conv {
    fn layout(&self) -> KernelLayout {
        KernelLayout {
            channels: self.channels,
            area: self.kernel * self.kernel,
        }
    }
}

impl Operation for Conv {
    fn tensors(&self) -> Tensors {
        let [from, to] = self.channels;
        let shape = vec![to, from, self.kernel, self.kernel];
        let mut list = vec![(format!("{}.weight", self.name), shape)];
        if self.bias {
            list.push((format!("{}.bias", self.name), vec![to]));
        }
        list
    }

    /// Without a bias, a batch norm follows: variance `2 / fan_out` (torchvision's ResNet, after He
    /// et al., arXiv:1502.01852).
    fn initial(&self, _tensor: &str, _shape: &[usize]) -> Initial {
        let area = self.kernel * self.kernel;
        if self.bias {
            Initial::for_fan(self.channels[0] * area)
        } else {
            Initial::Normal((2.0 / (self.channels[1] * area) as f32).sqrt())
        }
    }

    fn kernel(&self) -> Option<(String, KernelLayout)> {
        Some((kernel_of(&self.name), self.layout()))
    }

    fn part(&self) -> Part<'_> {
        Part::Layer(LayerPart {
            name: &self.name,
            channels: self.channels,
            window: Window {
                kernel: self.kernel,
                stride: self.stride,
                padding: self.padding,
            },
            bias: self.bias,
        })
    }

    fn output(&self, input: ImageShape) -> Option<ImageShape> {
        let window = [self.kernel, self.stride, self.padding];
        Some(ImageShape {
            channels: self.channels[1],
            height: windows(input.height, window)?,
            width: windows(input.width, window)?,
        })
    }

    /// A batch norm and a positive part that follow are made part of it.
    fn cpu(
        &self,
        weights: &Weights<'_>,
        following: &mut Following<'_>,
    ) -> Result<Option<Box<dyn CpuLayer>>, NetError> {
        let mut bias = if self.bias {
            weights.tensor(&self.name, "bias")?.to_vec()
        } else {
            vec![0.0; self.channels[1]]
        };
        let norm = following.affine(weights)?;
        if let Some(norm) = &norm {
            for ((bias, factor), after) in bias.iter_mut().zip(&norm.factor).zip(&norm.shift) {
                *bias = *bias * factor + after;
            }
        }
        let factors = norm.as_ref().map(|norm| &norm.factor[..]);
        let weight = weights.kernel(&self.name, self.layout(), factors)?;
        Ok(Some(Box::new(CpuConv {
            name: self.name.clone(),
            bias: self.bias,
            layer: Convolution {
                channels: self.channels,
                kernel: self.kernel,
                stride: self.stride,
                padding: self.padding,
                weight,
                bias,
                relu: following.relu(weights)?,
            },
        })))
    }

    #[cfg(feature = "burn")]
    fn device(&self, builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError> {
        let weight = builder.kernel(&format!("{}.weight", self.name))?;
        let bias = if self.bias {
            Some(builder.vector(&format!("{}.bias", self.name))?)
        } else {
            None
        };
        Ok(Box::new(DeviceConv {
            weight,
            bias,
            stride: self.stride,
            padding: self.padding,
        }))
    }
}

struct CpuConv {
    name: String,
    bias: bool,
    layer: Convolution,
}

impl CpuLayer for CpuConv {
    fn forward(&self, input: Maps, threads: usize) -> Result<Maps, FisherError> {
        self.layer.forward(&input, threads)
    }

    fn record(&self, input: Maps, record: &mut Record) -> Result<Maps, FisherError> {
        let window = Window {
            kernel: self.layer.kernel,
            stride: self.layer.stride,
            padding: self.layer.padding,
        };
        record.enter(&self.name, &input, window);
        let out = self.layer.forward(&input, record.threads)?;
        record.keep(input);
        Ok(out)
    }

    fn backward(&self, delta: Maps, pass: &mut Backward<'_>) -> Result<Option<Maps>, NetError> {
        let input = pass.kept()?.maps;
        let layer = fiun::layers::Convolution {
            channels: self.layer.channels,
            kernel: self.layer.kernel,
            stride: self.layer.stride,
            padding: self.layer.padding,
            groups: 1,
            size: input.size,
        };
        let squares = |groups| layer.squares(groups, &input.values, &delta.values);
        let gradients = || {
            let weight = self.layer.kernel_gradient(&input, &delta)?;
            let mut all = vec![Gradient::of_kernel(weight, self.layer.layout())];
            all.extend(self.bias.then(|| Gradient::new("bias", delta.sums())));
            Ok(all)
        };
        let shown = Tapped {
            name: &self.name,
            squares: &squares,
            gradients: &gradients,
        };
        if !pass.show(shown)? {
            return Ok(None);
        }
        self.layer
            .backward(&delta, input.size, pass.threads)
            .map(Some)
            .map_err(backend)
    }
}

#[cfg(feature = "burn")]
struct DeviceConv {
    weight: KernelAt,
    bias: Option<VectorAt>,
    stride: usize,
    padding: usize,
}

#[cfg(feature = "burn")]
impl DeviceLayer for DeviceConv {
    fn run(&self, pass: &mut Pass<'_>, input: Flow) -> Flow {
        let padding = [(self.padding, self.padding); 2];
        let options = ConvOptions::new_with_padding([self.stride, self.stride], padding, [1, 1], 1);
        Flow::Maps(conv2d(
            input.maps(),
            pass.kernel(self.weight),
            self.bias.map(|bias| pass.vector(bias)),
            options,
        ))
    }
}
