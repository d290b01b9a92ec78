//! Steps over sequences.

use burn::tensor::Tensor;
use burn::tensor::activation::{sigmoid, softmax, tanh};
use burn::tensor::module::{conv1d, embedding};
use burn::tensor::ops::ConvOptions;

use super::Slot;
use super::run::{Flow, Pass};
use crate::op::Op;

/// What keeps positions from attending to padding.
const NEVER: f64 = -1e9;

impl Pass<'_> {
    fn vector(&self, slot: Slot) -> Tensor<1> {
        match slot {
            Slot::Vector(at) => self.layers.vectors[at].val(),
            Slot::Matrix(at) => self.layers.matrices[at].val().flatten(0, 1),
            Slot::Cube(at) => self.layers.cubes[at].val().flatten(0, 2),
        }
    }

    fn matrix(&self, slot: Slot) -> Tensor<2> {
        match slot {
            Slot::Matrix(at) => self.layers.matrices[at].val(),
            other => self.vector(other).unsqueeze(),
        }
    }

    fn cube(&self, slot: Slot) -> Tensor<3> {
        match slot {
            Slot::Cube(at) => self.layers.cubes[at].val(),
            other => self.vector(other).unsqueeze(),
        }
    }

    /// A step that has tensors, in the order of [`Op::tensors`].
    pub(super) fn sequence_step(&mut self, op: &Op, slots: &[Slot], flow: Flow) -> Flow {
        Flow::Sequence(match (op, slots) {
            (Op::Embedding { .. }, [table]) => self.embedded(*table, &flow),
            (Op::TokenEmbedding { .. }, [words, positions, segments]) => {
                let x = self.embedded(*words, &flow);
                let length = x.dims()[1];
                let positions = self.matrix(*positions).narrow(0, 0, length);
                let segment = self.matrix(*segments).narrow(0, 0, 1);
                x + (positions + segment).unsqueeze::<3>()
            }
            (Op::Patches { .. }, [token, position]) => {
                let x = flow.sequence();
                let [batch, _, values] = x.dims();
                let token = self.cube(*token).expand([batch, 1, values]);
                Tensor::cat(vec![token, x], 1) + self.cube(*position)
            }
            (Op::LayerNorm { epsilon, .. }, [weight, bias]) => {
                let x = flow.sequence();
                let centred = x.clone() - x.mean_dim(2);
                let variance = centred.clone().powi_scalar(2).mean_dim(2);
                let normal = centred / (variance + *epsilon).sqrt();
                normal * self.vector(*weight).unsqueeze::<3>() + self.vector(*bias).unsqueeze::<3>()
            }
            (Op::Attention { heads, .. }, slots) => self.attention(*heads, slots, flow.sequence()),
            (Op::Lstm { hidden, .. }, slots) => self.lstm(*hidden, slots, flow.sequence()),
            (Op::GatedConv { kernel, .. }, [weight, bias]) => {
                self.gated(*kernel, [*weight, *bias], flow.sequence())
            }
            _ => flow.sequence(),
        })
    }

    fn embedded(&self, table: Slot, flow: &Flow) -> Tensor<3> {
        match flow {
            Flow::Tokens(tokens) => embedding(self.matrix(table), tokens.clone()),
            other => other.clone().sequence(),
        }
    }

    fn linear(&self, x: Tensor<3>, weight: Slot, bias: Slot) -> Tensor<3> {
        let [batch, positions, values] = x.dims();
        let weight = self.matrix(weight);
        let outputs = weight.dims()[0];
        let flat = x.reshape([batch * positions, values]);
        let flat = flat.matmul(weight.transpose()) + self.vector(bias).unsqueeze::<2>();
        flat.reshape([batch, positions, outputs])
    }

    /// Scaled dot products of every head, a softmax over the positions that are no padding.
    fn attention(&self, heads: usize, slots: &[Slot], x: Tensor<3>) -> Tensor<3> {
        let [batch, positions, size] = x.dims();
        let Some((projections, output)) = slots.split_last_chunk::<2>() else {
            return x;
        };
        let mut parts: Vec<Tensor<3>> = projections
            .chunks_exact(2)
            .map(|pair| self.linear(x.clone(), pair[0], pair[1]))
            .collect();
        if let [all] = &parts[..] {
            parts = (0..3)
                .map(|part| all.clone().narrow(2, part * size, size))
                .collect();
        }
        let each = size / heads;
        let split = |x: Tensor<3>| x.reshape([batch, positions, heads, each]).swap_dims(1, 2);
        let mut parts = parts.into_iter().map(split);
        let (Some(query), Some(key), Some(value)) = (parts.next(), parts.next(), parts.next())
        else {
            return x;
        };
        let mut scores = query.matmul(key.swap_dims(2, 3)) / (each as f64).sqrt();
        if let Some(mask) = &self.mask {
            let never = (mask.clone() - 1.0) * -NEVER;
            scores = scores + never.reshape([batch, 1, 1, positions]);
        }
        let mixed = softmax(scores, 3).matmul(value);
        let mixed = mixed.swap_dims(1, 2).reshape([batch, positions, size]);
        self.linear(mixed, output[0], output[1])
    }

    /// PyTorch's LSTM, one layer, one direction: gates in the order input, forget, cell, output.
    fn lstm(&self, hidden: usize, slots: &[Slot], x: Tensor<3>) -> Tensor<3> {
        let [weight_in, weight_hidden, bias_in, bias_hidden] = slots else {
            return x;
        };
        let [batch, positions, _] = x.dims();
        let device = x.device();
        let inputs = self.linear(x, *weight_in, *bias_in);
        let weight = self.matrix(*weight_hidden).transpose();
        let bias = self.vector(*bias_hidden).unsqueeze::<2>();
        let mut state = Tensor::<2>::zeros([batch, hidden], &device);
        let mut cell = state.clone();
        let mut outputs = Vec::with_capacity(positions);
        for position in 0..positions {
            let input = inputs.clone().narrow(1, position, 1);
            let gates = input.reshape([batch, 4 * hidden]) + state.matmul(weight.clone());
            let gates = gates + bias.clone();
            let gate = |at: usize| gates.clone().narrow(1, at * hidden, hidden);
            cell = sigmoid(gate(1)) * cell + sigmoid(gate(0)) * tanh(gate(2));
            state = sigmoid(gate(3)) * tanh(cell.clone());
            outputs.push(state.clone().unsqueeze_dim(1));
        }
        Tensor::cat(outputs, 1)
    }

    /// Half of the outputs, weighed by the sigmoid of the other half, added to the input.
    fn gated(&self, kernel: usize, [weight, bias]: [Slot; 2], x: Tensor<3>) -> Tensor<3> {
        let channels = x.dims()[2];
        let visible = match &self.mask {
            Some(mask) => x.clone() * mask.clone().unsqueeze_dim(2),
            None => x.clone(),
        };
        let options = ConvOptions::new([1], [kernel / 2], [1], 1);
        let out = conv1d(
            visible.swap_dims(1, 2),
            self.cube(weight),
            Some(self.vector(bias)),
            options,
        );
        let out = out.swap_dims(1, 2);
        let gate = sigmoid(out.clone().narrow(2, channels, channels));
        x + out.narrow(2, 0, channels) * gate
    }

    /// The mean over the positions that are no padding.
    pub(super) fn mean(&self, x: Tensor<3>) -> Tensor<2> {
        let [batch, positions, values] = x.dims();
        match &self.mask {
            Some(mask) => {
                let count = mask.clone().sum_dim(1).clamp_min(1.0);
                let sum = (x * mask.clone().unsqueeze_dim(2)).sum_dim(1);
                sum.reshape([batch, values]) / count
            }
            None => x.sum_dim(1).reshape([batch, values]) / positions as f64,
        }
    }
}
