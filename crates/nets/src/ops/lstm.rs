//! A long short-term memory (Hochreiter and Schmidhuber 1997).

#[cfg(feature = "burn")]
use burn::tensor::Tensor;
#[cfg(feature = "burn")]
use burn::tensor::activation::{sigmoid, tanh};
use disinherit_data::ImageShape;

use super::initial::Initial;
use super::operation::{Following, Operation, Tensors};
use crate::cpu::layer::CpuLayer;
use crate::cpu::lstm::{CpuLstm, PARTS};
use crate::cpu::weights::Weights;
#[cfg(feature = "burn")]
use crate::device::parameters::{Builder, MatrixAt, VectorAt};
#[cfg(feature = "burn")]
use crate::device::pass::{DeviceLayer, Flow, Pass};
use crate::error::NetError;

/// Its output at every position: PyTorch's, one layer, one direction, gates in the order input,
/// forget, cell, output.
///
/// # Shapes
/// `weight_ih_l0`: `[4 * hidden, inputs]`; `weight_hh_l0`: `[4 * hidden, hidden]`; `bias_ih_l0`,
/// `bias_hh_l0`: `[4 * hidden]`.
#[derive(Debug, Clone)]
pub(crate) struct Lstm {
    /// The layer's name.
    pub(crate) name: String,
    /// Values in.
    pub(crate) inputs: usize,
    /// Values out.
    pub(crate) hidden: usize,
}

impl Operation for Lstm {
    fn tensors(&self) -> Tensors {
        let gates = 4 * self.hidden;
        [
            ("weight_ih_l0", vec![gates, self.inputs]),
            ("weight_hh_l0", vec![gates, self.hidden]),
            ("bias_ih_l0", vec![gates]),
            ("bias_hh_l0", vec![gates]),
        ]
        .map(|(part, shape)| (format!("{}.{part}", self.name), shape))
        .to_vec()
    }

    fn initial(&self, _tensor: &str, _shape: &[usize]) -> Initial {
        Initial::for_fan(self.hidden)
    }

    fn output(&self, input: ImageShape) -> Option<ImageShape> {
        Some(ImageShape {
            channels: self.hidden,
            ..input
        })
    }

    /// Gates, cells, states and outputs.
    fn values(&self, output: ImageShape) -> usize {
        7 * output.len()
    }

    fn cpu(
        &self,
        weights: &Weights<'_>,
        _following: &mut Following<'_>,
    ) -> Result<Option<Box<dyn CpuLayer>>, NetError> {
        let [weight_in, bias_in, weight_hidden, bias_hidden] =
            PARTS.map(|part| weights.tensor(&self.name, part));
        Ok(Some(Box::new(CpuLstm {
            name: self.name.clone(),
            inputs: self.inputs,
            hidden: self.hidden,
            weight_in: weight_in?.to_vec(),
            weight_hidden: weight_hidden?.to_vec(),
            bias: bias_in?
                .iter()
                .zip(bias_hidden?)
                .map(|(a, b)| a + b)
                .collect(),
        })))
    }

    #[cfg(feature = "burn")]
    fn device(&self, builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError> {
        let name = |part: &str| format!("{}.{part}", self.name);
        Ok(Box::new(DeviceLstm {
            hidden: self.hidden,
            weight_in: builder.matrix(&name("weight_ih_l0"))?,
            weight_hidden: builder.matrix(&name("weight_hh_l0"))?,
            bias_in: builder.vector(&name("bias_ih_l0"))?,
            bias_hidden: builder.vector(&name("bias_hh_l0"))?,
        }))
    }
}

#[cfg(feature = "burn")]
struct DeviceLstm {
    hidden: usize,
    weight_in: MatrixAt,
    weight_hidden: MatrixAt,
    bias_in: VectorAt,
    bias_hidden: VectorAt,
}

#[cfg(feature = "burn")]
impl DeviceLayer for DeviceLstm {
    fn run(&self, pass: &mut Pass<'_>, input: Flow) -> Flow {
        let (x, hidden) = (input.sequence(), self.hidden);
        let [batch, positions, _] = x.dims();
        let device = x.device();
        let inputs = pass.projected(x, self.weight_in, self.bias_in);
        let weight = pass.matrix(self.weight_hidden).transpose();
        let bias = pass.vector(self.bias_hidden).unsqueeze::<2>();
        let mut state = Tensor::<2>::zeros([batch, hidden], &device);
        let mut cell = state.clone();
        let mut outputs = Vec::with_capacity(positions);
        for position in 0..positions {
            let input = inputs.clone().narrow(1, position, 1);
            let gates = input.reshape([batch, 4 * hidden]) + state.matmul(weight.clone());
            let gates = gates + bias.clone();
            let gate = |at: usize| gates.clone().narrow(1, at * hidden, hidden);
            let kept = sigmoid(gate(1)) * cell;
            cell = kept + sigmoid(gate(0)) * tanh(gate(2));
            state = sigmoid(gate(3)) * tanh(cell.clone());
            outputs.push(state.clone().unsqueeze_dim(1));
        }
        Flow::Sequence(Tensor::cat(outputs, 1))
    }
}
