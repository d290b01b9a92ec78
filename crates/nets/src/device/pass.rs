//! The forward pass of a batch on a device.

use burn::tensor::module::embedding;
use burn::tensor::{Int, Tensor};
use rand_chacha::ChaCha8Rng;

use super::parameters::{CubeAt, KernelAt, MatrixAt, NormAt, Parameters, VectorAt};

/// An operation that knows where its parameters are, ready to run on a device.
pub(crate) trait DeviceLayer: Send + Sync {
    /// Its output; burn records what gradients need.
    fn run(&self, pass: &mut Pass<'_>, input: Flow) -> Flow;
}

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
    /// As maps; vectors have one position.
    pub(crate) fn maps(self) -> Tensor<4> {
        match self {
            Self::Maps(x) => x,
            other => {
                let x = other.vectors();
                let [rows, cols] = x.dims();
                x.reshape([rows, cols, 1, 1])
            }
        }
    }

    /// As vectors: channels before positions for maps, positions before values for sequences.
    pub(crate) fn vectors(self) -> Tensor<2> {
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

    /// As a sequence; vectors are one position.
    pub(crate) fn sequence(self) -> Tensor<3> {
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

    /// A function of single values, in the shape that the values have.
    pub(crate) fn map(
        self,
        maps: fn(Tensor<4>) -> Tensor<4>,
        vectors: fn(Tensor<2>) -> Tensor<2>,
    ) -> Self {
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
pub(crate) struct Pass<'a> {
    parameters: &'a Parameters,
    /// `[batch, positions]`: 1 for tokens, 0 for padding; nothing where there is no padding.
    pub(crate) mask: Option<Tensor<2>>,
    /// Draws what dropout drops; nothing where it drops nothing.
    pub(crate) dropout: Option<&'a mut ChaCha8Rng>,
}

impl<'a> Pass<'a> {
    pub(super) fn new(
        parameters: &'a Parameters,
        input: &Flow,
        dropout: Option<&'a mut ChaCha8Rng>,
    ) -> Self {
        let mask = match input {
            Flow::Tokens(tokens) => Some(tokens.clone().not_equal_elem(0).float()),
            _ => None,
        };
        Self {
            parameters,
            mask,
            dropout,
        }
    }

    /// Runs some layers, one after the other.
    pub(crate) fn all(&mut self, layers: &[Box<dyn DeviceLayer>], input: Flow) -> Flow {
        let mut flow = input;
        for layer in layers {
            flow = layer.run(self, flow);
        }
        flow
    }

    pub(crate) fn vector(&self, at: VectorAt) -> Tensor<1> {
        self.parameters.vectors[at.0].val()
    }

    pub(crate) fn matrix(&self, at: MatrixAt) -> Tensor<2> {
        self.parameters.matrices[at.0].val()
    }

    pub(crate) fn cube(&self, at: CubeAt) -> Tensor<3> {
        self.parameters.cubes[at.0].val()
    }

    pub(crate) fn kernel(&self, at: KernelAt) -> Tensor<4> {
        self.parameters.kernels[at.0].val()
    }

    /// Maps through a batch norm.
    pub(crate) fn normalised(&self, at: NormAt, maps: Tensor<4>) -> Tensor<4> {
        self.parameters.norms[at.0].forward(maps)
    }

    /// Rows of a table for tokens; what is a sequence already stays one.
    pub(crate) fn embedded(&self, table: MatrixAt, input: Flow) -> Tensor<3> {
        match input {
            Flow::Tokens(tokens) => embedding(self.matrix(table), tokens),
            other => other.sequence(),
        }
    }

    /// `W x + b` at every position, `W` of `[outputs, values]`.
    pub(crate) fn projected(&self, x: Tensor<3>, weight: MatrixAt, bias: VectorAt) -> Tensor<3> {
        let [batch, positions, values] = x.dims();
        let weight = self.matrix(weight);
        let outputs = weight.dims()[0];
        let flat = x.reshape([batch * positions, values]);
        let flat = flat.matmul(weight.transpose()) + self.vector(bias).unsqueeze::<2>();
        flat.reshape([batch, positions, outputs])
    }
}
