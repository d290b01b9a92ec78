//! The forward pass.

use burn::tensor::activation::{gelu, relu, tanh};
use burn::tensor::module::{adaptive_avg_pool2d, avg_pool2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{Int, Tensor, TensorData};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Layers, Step};
use crate::op::Op;

/// What flows through a network.
#[derive(Debug, Clone)]
pub(crate) enum Flow {
    /// `[batch, channels, height, width]`.
    Maps(Tensor<4>),
    /// `[batch, values]`.
    Vectors(Tensor<2>),
    /// `[batch, positions]`, 0 for padding.
    Tokens(Tensor<2, Int>),
    /// `[batch, positions, values]`.
    Sequence(Tensor<3>),
}

impl Flow {
    pub(super) fn maps(self) -> Tensor<4> {
        match self {
            Self::Maps(x) => x,
            other => {
                let x = other.vectors();
                let [rows, cols] = x.dims();
                x.reshape([rows, cols, 1, 1])
            }
        }
    }

    pub(super) fn vectors(self) -> Tensor<2> {
        match self {
            Self::Vectors(x) => x,
            Self::Tokens(x) => x.float(),
            Self::Maps(x) => {
                let [batch, channels, height, width] = x.dims();
                x.reshape([batch, channels * height * width])
            }
            Self::Sequence(x) => {
                let [batch, positions, values] = x.dims();
                x.reshape([batch, positions * values])
            }
        }
    }

    pub(super) fn sequence(self) -> Tensor<3> {
        match self {
            Self::Sequence(x) => x,
            // Positions of maps are read row by row.
            Self::Maps(x) => {
                let [batch, channels, height, width] = x.dims();
                x.reshape([batch, channels, height * width]).swap_dims(1, 2)
            }
            other => other.vectors().unsqueeze_dim(1),
        }
    }

    fn map(self, maps: fn(Tensor<4>) -> Tensor<4>, vectors: fn(Tensor<2>) -> Tensor<2>) -> Self {
        match self {
            Self::Maps(x) => Self::Maps(maps(x)),
            Self::Sequence(x) => {
                let [batch, positions, values] = x.dims();
                let x = vectors(x.reshape([batch * positions, values]));
                Self::Sequence(x.reshape([batch, positions, values]))
            }
            other => Self::Vectors(vectors(other.vectors())),
        }
    }
}

/// One pass of a batch.
pub(super) struct Pass<'a> {
    pub(super) layers: &'a Layers,
    /// `[batch, positions]`: 1 for tokens, 0 for padding; nothing where there is no padding.
    pub(super) mask: Option<Tensor<2>>,
    dropout: Option<&'a mut ChaCha8Rng>,
}

impl<'a> Pass<'a> {
    pub(super) fn new(
        layers: &'a Layers,
        input: &Flow,
        dropout: Option<&'a mut ChaCha8Rng>,
    ) -> Self {
        let mask = match input {
            Flow::Tokens(tokens) => Some(tokens.clone().not_equal_elem(0).float()),
            _ => None,
        };
        Self {
            layers,
            mask,
            dropout,
        }
    }

    pub(super) fn all(&mut self, steps: &[Step], input: Flow) -> Flow {
        let mut flow = input;
        for step in steps {
            flow = self.step(step, flow);
        }
        flow
    }

    fn step(&mut self, step: &Step, flow: Flow) -> Flow {
        let layers = self.layers;
        match step {
            Step::Conv(_, index) => Flow::Maps(layers.convs[*index].forward(flow.maps())),
            Step::BatchNorm(_, index) => Flow::Maps(layers.norms[*index].forward(flow.maps())),
            Step::Linear(_, index) => match flow {
                Flow::Sequence(x) => Flow::Sequence(layers.linears[*index].forward(x)),
                other => Flow::Vectors(layers.linears[*index].forward(other.vectors())),
            },
            Step::Residual(main, shortcut) => {
                let first = self.all(main, flow.clone());
                match (first, self.all(shortcut, flow)) {
                    (Flow::Sequence(a), Flow::Sequence(b)) => Flow::Sequence(a + b),
                    (a, b) => Flow::Maps(a.maps() + b.maps()),
                }
            }
            Step::Dense(branch) => {
                let input = flow.maps();
                let made = self.all(branch, Flow::Maps(input.clone())).maps();
                Flow::Maps(Tensor::cat(vec![input, made], 1))
            }
            Step::Sequence(op, slots) => self.sequence_step(op, slots, flow),
            Step::Plain(op) => self.plain(op, flow),
        }
    }

    fn plain(&mut self, op: &Op, flow: Flow) -> Flow {
        match *op {
            Op::Relu => flow.map(relu, relu),
            Op::Gelu => flow.map(gelu, gelu),
            Op::Tanh => flow.map(tanh, tanh),
            Op::MaxPool {
                kernel,
                stride,
                padding,
            } => Flow::Maps(max_pool2d(
                flow.maps(),
                MaxPoolOptions::new([kernel, kernel])
                    .with_stride([stride, stride])
                    .with_padding([padding, padding]),
            )),
            Op::AvgPool { side } => Flow::Maps(avg_pool2d(
                flow.maps(),
                AvgPoolOptions::new([side, side]).with_stride([side, side]),
            )),
            Op::AdaptiveAvgPool { side } => {
                Flow::Maps(adaptive_avg_pool2d(flow.maps(), [side, side]))
            }
            Op::Flatten => Flow::Vectors(flow.vectors()),
            Op::Dropout(probability) => match &mut self.dropout {
                Some(rng) => Flow::Vectors(drop_out(flow.vectors(), probability, rng)),
                None => flow,
            },
            Op::MeanPool => Flow::Vectors(self.mean(flow.sequence())),
            Op::First => {
                let x = flow.sequence();
                let [batch, _, values] = x.dims();
                Flow::Vectors(x.narrow(1, 0, 1).reshape([batch, values]))
            }
            _ => flow,
        }
    }
}

/// The mask is drawn on the host, so that the same seed gives the same training on every device.
fn drop_out(input: Tensor<2>, probability: f64, rng: &mut ChaCha8Rng) -> Tensor<2> {
    let [rows, cols] = input.dims();
    let kept = 1.0 / (1.0 - probability) as f32;
    let mask: Vec<f32> = (0..rows * cols)
        .map(|_| {
            if rng.random_bool(probability) {
                0.0
            } else {
                kept
            }
        })
        .collect();
    let mask = Tensor::<2>::from_data(TensorData::new(mask, [rows, cols]), &input.device());
    input * mask
}
