//! What every operation says about itself.

use std::fmt;

use disinherit_data::ImageShape;

use super::initial::Initial;
use crate::cpu::kernel_layout::KernelLayout;
use crate::cpu::layer::{Affine, CpuLayer, Fused};
use crate::cpu::weights::{Purpose, Weights};
use crate::cpu::window::Window;
#[cfg(feature = "burn")]
use crate::device::parameters::Builder;
#[cfg(feature = "burn")]
use crate::device::pass::DeviceLayer;
use crate::error::NetError;

/// Names of tensors with their shapes, in PyTorch's layout.
pub(crate) type Tensors = Vec<(String, Vec<usize>)>;

/// What an operation is to somebody who looks for the penultimate layer.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part<'a> {
    /// `W x + b`: of a vector, of every position of a sequence, of every window of a map.
    Layer(LayerPart<'a>),
    /// A factor and a shift for each channel, by the name of the batch norm.
    Norm(&'a str),
    /// The sum of what two programs make of the input.
    Sum([&'a [Op]; 2]),
    /// The input's channels, followed by those that a program makes of it.
    Concatenation(&'a [Op]),
    /// The first position of a sequence.
    First,
    /// A step without a matrix: a non-linearity, a pool, a normalisation.
    Step,
    /// Weights of another kind.
    Other,
}

/// A layer that is one matrix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LayerPart<'a> {
    /// The name that its tensors start with.
    pub(crate) name: &'a str,
    /// Values (channels) in and out.
    pub(crate) channels: [usize; 2],
    pub(crate) window: Window,
    pub(crate) bias: bool,
}

/// An operation without its weights. Names of tensors are torchvision's or Hugging Face's.
pub(crate) trait Operation: fmt::Debug + Send + Sync {
    /// Its own tensors; those of its branches are theirs.
    fn tensors(&self) -> Tensors {
        Vec::new()
    }

    /// How the first values of one of its tensors are drawn.
    fn initial(&self, _tensor: &str, _shape: &[usize]) -> Initial {
        Initial::Constant(0.0)
    }

    /// The programs that it runs on its input, for an operation that is made of others.
    fn branches(&self) -> Vec<&[Op]> {
        Vec::new()
    }

    /// The tensor that is its kernel and how products need it, for a convolution.
    fn kernel(&self) -> Option<(String, KernelLayout)> {
        None
    }

    /// What it is to somebody who looks for the penultimate layer.
    fn part(&self) -> Part<'_> {
        if self.tensors().is_empty() && self.branches().is_empty() {
            Part::Step
        } else {
            Part::Other
        }
    }

    /// The shape of its output (a sequence is one column), or `None` when the input is too small.
    fn output(&self, input: ImageShape) -> Option<ImageShape> {
        Some(input)
    }

    /// The values of its output for one sample, from the shape that [`Operation::output`] gives.
    fn values(&self, output: ImageShape) -> usize {
        output.len()
    }

    /// What a layer before this one can do in its place, where only outputs matter.
    ///
    /// # Errors
    /// [`NetError::Missing`] when a tensor is not there.
    fn fused(&self, _weights: &Weights<'_>) -> Result<Option<Fused>, NetError> {
        Ok(None)
    }

    /// The layer that runs it on the CPU; nothing where it does nothing in evaluation.
    ///
    /// # Errors
    /// [`NetError::Backend`] for an operation that the CPU engine does not run.
    fn cpu(
        &self,
        _weights: &Weights<'_>,
        _following: &mut Following<'_>,
    ) -> Result<Option<Box<dyn CpuLayer>>, NetError> {
        Err(NetError::Backend(format!(
            "the engine for image networks does not run {self:?}"
        )))
    }

    /// The layer that runs it on a device of burn's.
    ///
    /// # Errors
    /// [`NetError::Missing`] when a tensor is not there or has another number of dimensions.
    #[cfg(feature = "burn")]
    fn device(&self, builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError>;
}

/// One operation of a network, without its weights. Printed for debugging, it shows its settings.
pub struct Op(Box<dyn Operation>);

impl fmt::Debug for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Op {
    /// Of one of the kinds in this folder.
    pub(crate) fn new(operation: impl Operation + 'static) -> Self {
        Self(Box::new(operation))
    }

    /// The operation itself.
    pub(crate) fn operation(&self) -> &dyn Operation {
        &*self.0
    }

    /// The tensors of this operation and of those in it: full names and shapes, in PyTorch's
    /// layout.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let mut all = self.0.tensors();
        for branch in self.0.branches() {
            all.extend(branch.iter().flat_map(Self::tensors));
        }
        all
    }
}

/// The tensors of a program that are kernels of convolutions.
pub(crate) fn kernels(ops: &[Op]) -> Vec<(String, KernelLayout)> {
    let mut all = Vec::new();
    for op in ops {
        all.extend(op.operation().kernel());
        for branch in op.operation().branches() {
            all.extend(kernels(branch));
        }
    }
    all
}

/// The shape after a program, or `None` when the input is too small for it.
pub(crate) fn output(ops: &[Op], input: ImageShape) -> Option<ImageShape> {
    ops.iter()
        .try_fold(input, |shape, op| op.operation().output(shape))
}

/// The side of a map after square windows have gone over it.
pub(crate) fn windows(side: usize, [kernel, stride, padding]: [usize; 3]) -> Option<usize> {
    (side + 2 * padding)
        .checked_sub(kernel)
        .map(|room| room / stride + 1)
}

/// The operations after the one that is being compiled. It can take the next one into itself,
/// where only outputs matter.
pub(crate) struct Following<'a> {
    ops: &'a [Op],
    merge: bool,
}

impl Following<'_> {
    /// Takes the next operation if it is an affine map of each channel.
    ///
    /// # Errors
    /// [`NetError::Missing`] when one of its tensors is not there.
    pub(crate) fn affine(&mut self, weights: &Weights<'_>) -> Result<Option<Affine>, NetError> {
        match self.next(weights)? {
            Some(Fused::Affine(affine)) => {
                self.ops = &self.ops[1..];
                Ok(Some(affine))
            }
            _ => Ok(None),
        }
    }

    /// Takes the next operation if it is the positive part, and says whether it was.
    ///
    /// # Errors
    /// [`NetError::Missing`] when a tensor of the next operation is not there.
    pub(crate) fn relu(&mut self, weights: &Weights<'_>) -> Result<bool, NetError> {
        let relu = matches!(self.next(weights)?, Some(Fused::Relu));
        self.ops = &self.ops[usize::from(relu)..];
        Ok(relu)
    }

    fn next(&self, weights: &Weights<'_>) -> Result<Option<Fused>, NetError> {
        match self.ops.first() {
            Some(op) if self.merge => op.operation().fused(weights),
            _ => Ok(None),
        }
    }
}

/// The layers that run a program on the CPU.
///
/// # Errors
/// As [`Operation::cpu`].
pub(crate) fn cpu_layers(
    ops: &[Op],
    weights: &Weights<'_>,
) -> Result<Vec<Box<dyn CpuLayer>>, NetError> {
    let mut layers = Vec::with_capacity(ops.len());
    let mut rest = ops;
    while let Some((op, after)) = rest.split_first() {
        let mut following = Following {
            ops: after,
            merge: weights.purpose == Purpose::Outputs,
        };
        layers.extend(op.operation().cpu(weights, &mut following)?);
        rest = following.ops;
    }
    Ok(layers)
}

#[cfg(feature = "burn")]
/// The layers that run a program on a device of burn's.
///
/// # Errors
/// As [`Operation::device`].
pub(crate) fn device_layers(
    ops: &[Op],
    builder: &mut Builder<'_>,
) -> Result<Vec<Box<dyn DeviceLayer>>, NetError> {
    ops.iter()
        .map(|op| op.operation().device(builder))
        .collect()
}
