//! A linear layer: `y = W x + b`.

#[cfg(feature = "burn")]
use burn::tensor::Tensor;
#[cfg(feature = "burn")]
use burn::tensor::module::linear as product;
use fiun::{FisherError, Threads};

use disinherit_data::ImageShape;

use super::initial::Initial;
use super::operation::{Following, LayerPart, Op, Operation, Part, Tensors};
use crate::cpu::dense;
use crate::cpu::layer::{Backward, CpuLayer, Gradient, Record, Tapped};
use crate::cpu::maps::Maps;
use crate::cpu::weights::Weights;
use crate::cpu::window::Window;
#[cfg(feature = "burn")]
use crate::device::parameters::{Builder, MatrixAt, VectorAt};
#[cfg(feature = "burn")]
use crate::device::pass::{DeviceLayer, Flow, Pass};
use crate::error::{NetError, backend};

/// On vectors, or on every position of a sequence.
///
/// # Shapes
/// `weight`: `[outputs, inputs]`; `bias`: `[outputs]`.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    name: String,
    inputs: usize,
    outputs: usize,
}

/// A linear layer with a bias.
pub(crate) fn linear(name: impl Into<String>, inputs: usize, outputs: usize) -> Op {
    Op::new(Linear {
        name: name.into(),
        inputs,
        outputs,
    })
}

impl Operation for Linear {
    fn tensors(&self) -> Tensors {
        vec![
            (
                format!("{}.weight", self.name),
                vec![self.outputs, self.inputs],
            ),
            (format!("{}.bias", self.name), vec![self.outputs]),
        ]
    }

    fn initial(&self, _tensor: &str, _shape: &[usize]) -> Initial {
        Initial::for_fan(self.inputs)
    }

    fn part(&self) -> Part<'_> {
        Part::Layer(LayerPart {
            name: &self.name,
            channels: [self.inputs, self.outputs],
            window: Window::POINT,
            bias: true,
        })
    }

    fn output(&self, input: ImageShape) -> Option<ImageShape> {
        let channels = self.outputs;
        Some(if input.channels == self.inputs {
            ImageShape { channels, ..input }
        } else {
            ImageShape {
                channels,
                height: 1,
                width: 1,
            }
        })
    }

    fn cpu(
        &self,
        weights: &Weights<'_>,
        _following: &mut Following<'_>,
    ) -> Result<Option<Box<dyn CpuLayer>>, NetError> {
        Ok(Some(Box::new(CpuLinear {
            name: self.name.clone(),
            weight: weights.tensor(&self.name, "weight")?.to_vec(),
            bias: weights.tensor(&self.name, "bias")?.to_vec(),
        })))
    }

    #[cfg(feature = "burn")]
    fn device(&self, builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError> {
        Ok(Box::new(DeviceLinear {
            weight: builder.transposed(&format!("{}.weight", self.name))?,
            bias: builder.vector(&format!("{}.bias", self.name))?,
        }))
    }
}

struct CpuLinear {
    name: String,
    /// `[outputs, inputs]`.
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl CpuLinear {
    fn product(&self, input: &Maps, threads: Threads) -> Result<Maps, FisherError> {
        let rows = dense::apply(&input.values, &self.weight, &self.bias, threads)?;
        Ok(input.rows(self.bias.len(), rows))
    }
}

impl CpuLayer for CpuLinear {
    fn forward(&self, input: Maps, _threads: usize) -> Result<Maps, FisherError> {
        self.product(&input, Threads::One)
    }

    fn record(&self, input: Maps, record: &mut Record) -> Result<Maps, FisherError> {
        record.enter(&self.name, &input, Window::POINT);
        let out = self.product(&input, Threads::All)?;
        record.keep(input);
        Ok(out)
    }

    fn backward(&self, delta: Maps, pass: &mut Backward<'_>) -> Result<Option<Maps>, NetError> {
        let input = pass.kept()?.maps;
        let outputs = self.bias.len();
        let layer = fiun::layers::Linear {
            inputs: input.channels,
            outputs,
        };
        let squares = |groups| layer.squares(groups, &input.values, &delta.values);
        let gradients = || {
            let weight =
                dense::weight_gradient(&delta.values, outputs, &input.values, input.channels)?;
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
        let back = dense::back(&delta.values, outputs, &self.weight).map_err(backend)?;
        Ok(Some(delta.rows(input.channels, back)))
    }
}

#[cfg(feature = "burn")]
struct DeviceLinear {
    weight: MatrixAt,
    bias: VectorAt,
}

#[cfg(feature = "burn")]
impl DeviceLinear {
    fn forward<const D: usize>(&self, pass: &Pass<'_>, input: Tensor<D>) -> Tensor<D> {
        product(
            input,
            pass.matrix(self.weight),
            Some(pass.vector(self.bias)),
        )
    }
}

#[cfg(feature = "burn")]
impl DeviceLayer for DeviceLinear {
    fn run(&self, pass: &mut Pass<'_>, input: Flow) -> Flow {
        match input {
            Flow::Sequence(x) => Flow::Sequence(self.forward(pass, x)),
            other => Flow::Vectors(self.forward(pass, other.vectors())),
        }
    }
}
