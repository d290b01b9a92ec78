//! The steps that architectures are made of.

use data::ImageShape;

/// One step of a network. Names are torchvision's, without `.weight` and `.bias`.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// A 2-D convolution with square kernels.
    Conv {
        /// The layer's name.
        name: String,
        /// Channels in and out.
        channels: [usize; 2],
        /// The side of the kernel.
        kernel: usize,
        /// The step between positions.
        stride: usize,
        /// Zeros added on each side.
        padding: usize,
        /// Whether there is a bias.
        bias: bool,
    },
    /// Batch normalisation over the channels.
    BatchNorm {
        /// The layer's name.
        name: String,
        /// The number of channels.
        channels: usize,
    },
    /// The positive part.
    Relu,
    /// The maximum over square windows.
    MaxPool {
        /// The side of the window.
        kernel: usize,
        /// The step between windows.
        stride: usize,
        /// Cells added on each side.
        padding: usize,
    },
    /// The mean over a grid of this side, whatever the input's size.
    AdaptiveAvgPool {
        /// The side of the grid.
        side: usize,
    },
    /// From maps to vectors.
    Flatten,
    /// In training, zeroes values with this probability and scales up the others.
    Dropout(f64),
    /// A linear layer.
    Linear {
        /// The layer's name.
        name: String,
        /// Values in.
        inputs: usize,
        /// Values out.
        outputs: usize,
    },
    /// The sum of two branches; an empty shortcut is the identity.
    Residual {
        /// The main branch.
        main: Vec<Op>,
        /// The other branch.
        shortcut: Vec<Op>,
    },
}

impl Op {
    /// The tensors of this step and of the branches in it: full names and shapes, in PyTorch's
    /// layout.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        match self {
            Self::Conv {
                name,
                channels: [from, to],
                kernel,
                bias,
                ..
            } => {
                let mut list = vec![(format!("{name}.weight"), vec![*to, *from, *kernel, *kernel])];
                if *bias {
                    list.push((format!("{name}.bias"), vec![*to]));
                }
                list
            }
            Self::BatchNorm { name, channels } => ["weight", "bias", "running_mean", "running_var"]
                .map(|part| (format!("{name}.{part}"), vec![*channels]))
                .to_vec(),
            Self::Linear {
                name,
                inputs,
                outputs,
            } => vec![
                (format!("{name}.weight"), vec![*outputs, *inputs]),
                (format!("{name}.bias"), vec![*outputs]),
            ],
            Self::Residual { main, shortcut } => {
                main.iter().chain(shortcut).flat_map(Op::tensors).collect()
            }
            Self::Relu
            | Self::MaxPool { .. }
            | Self::AdaptiveAvgPool { .. }
            | Self::Flatten
            | Self::Dropout(_) => Vec::new(),
        }
    }

    /// Side lengths after this step, or `None` when the input is too small for it.
    pub(crate) fn output(&self, shape: ImageShape) -> Option<ImageShape> {
        let windows = |side: usize, kernel: usize, stride: usize, padding: usize| {
            (side + 2 * padding)
                .checked_sub(kernel)
                .map(|room| room / stride + 1)
        };
        let map = |channels, kernel, stride, padding| {
            Some(ImageShape {
                channels,
                height: windows(shape.height, kernel, stride, padding)?,
                width: windows(shape.width, kernel, stride, padding)?,
            })
        };
        match *self {
            Self::Conv {
                channels: [_, to],
                kernel,
                stride,
                padding,
                ..
            } => map(to, kernel, stride, padding),
            Self::MaxPool {
                kernel,
                stride,
                padding,
            } => map(shape.channels, kernel, stride, padding),
            Self::AdaptiveAvgPool { side } => Some(ImageShape {
                height: side,
                width: side,
                ..shape
            }),
            Self::Residual { ref main, .. } => {
                main.iter().try_fold(shape, |shape, op| op.output(shape))
            }
            _ => Some(shape),
        }
    }
}
