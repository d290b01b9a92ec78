//! The steps that architectures are made of.

use disinherit_data::ImageShape;

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
    /// The input's channels, followed by those that a branch makes of it.
    Dense(Vec<Op>),
    /// The mean over square windows.
    AvgPool {
        /// The side of the window, and the step between windows.
        side: usize,
    },
    /// The Gaussian error linear unit, exact.
    Gelu,
    /// The hyperbolic tangent.
    Tanh,
    /// Vectors for tokens.
    Embedding {
        /// The layer's name.
        name: String,
        /// Different tokens.
        count: usize,
        /// Values of a vector.
        size: usize,
    },
    /// BERT's sum of vectors for tokens, positions and the first segment.
    TokenEmbedding {
        /// The name that the three tables start with.
        name: String,
        /// Different tokens.
        vocabulary: usize,
        /// Different positions.
        positions: usize,
        /// Values of a vector.
        size: usize,
    },
    /// From maps to a sequence of positions, with a learnt vector before the first and learnt
    /// vectors added to each.
    Patches {
        /// The tensor of the first vector.
        token: String,
        /// The tensor of the added vectors.
        position: String,
        /// Positions of the maps.
        count: usize,
        /// Channels of the maps.
        size: usize,
    },
    /// Layer normalisation over the values of a position.
    LayerNorm {
        /// The layer's name.
        name: String,
        /// Values of a position.
        size: usize,
        /// Added to the variance.
        epsilon: f64,
    },
    /// Multi-head self-attention; padding is not attended to.
    Attention {
        /// Weight and bias of the projections to queries, keys and values: three pairs, or one for
        /// all three.
        projections: Vec<[String; 2]>,
        /// The output projection's name.
        output: String,
        /// Values of a position.
        size: usize,
        /// Heads.
        heads: usize,
    },
    /// A long short-term memory: its output at every position.
    Lstm {
        /// The layer's name.
        name: String,
        /// Values in.
        inputs: usize,
        /// Values out.
        hidden: usize,
    },
    /// A gated convolution over positions, added to its input (Dauphin et al., arXiv:1612.08083).
    GatedConv {
        /// The layer's name.
        name: String,
        /// Values of a position.
        channels: usize,
        /// Positions of a window, odd.
        kernel: usize,
    },
    /// The mean over all positions that are no padding.
    MeanPool,
    /// The first position.
    First,
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
            Self::Dense(branch) => branch.iter().flat_map(Op::tensors).collect(),
            Self::Relu
            | Self::MaxPool { .. }
            | Self::AdaptiveAvgPool { .. }
            | Self::AvgPool { .. }
            | Self::Flatten
            | Self::Dropout(_)
            | Self::Gelu
            | Self::Tanh
            | Self::MeanPool
            | Self::First => Vec::new(),
            _ => self.sequence_tensors(),
        }
    }

    /// The tensors of a step over sequences.
    fn sequence_tensors(&self) -> Vec<(String, Vec<usize>)> {
        let part = |name: &str, part: &str| format!("{name}.{part}");
        match self {
            Self::Embedding { name, count, size } => {
                vec![(part(name, "weight"), vec![*count, *size])]
            }
            Self::TokenEmbedding {
                name,
                vocabulary,
                positions,
                size,
            } => [
                ("word_embeddings.weight", vocabulary),
                ("position_embeddings.weight", positions),
                ("token_type_embeddings.weight", &2),
            ]
            .map(|(table, count)| (part(name, table), vec![*count, *size]))
            .to_vec(),
            Self::Patches {
                token,
                position,
                count,
                size,
            } => vec![
                (token.clone(), vec![1, 1, *size]),
                (position.clone(), vec![1, count + 1, *size]),
            ],
            Self::LayerNorm { name, size, .. } => ["weight", "bias"]
                .map(|kind| (part(name, kind), vec![*size]))
                .to_vec(),
            Self::Attention {
                projections,
                output,
                size,
                ..
            } => {
                let rows = 3 * size / projections.len().max(1);
                let mut list = Vec::new();
                for [weight, bias] in projections {
                    list.push((weight.clone(), vec![rows, *size]));
                    list.push((bias.clone(), vec![rows]));
                }
                list.push((part(output, "weight"), vec![*size, *size]));
                list.push((part(output, "bias"), vec![*size]));
                list
            }
            Self::Lstm {
                name,
                inputs,
                hidden,
            } => vec![
                (part(name, "weight_ih_l0"), vec![4 * hidden, *inputs]),
                (part(name, "weight_hh_l0"), vec![4 * hidden, *hidden]),
                (part(name, "bias_ih_l0"), vec![4 * hidden]),
                (part(name, "bias_hh_l0"), vec![4 * hidden]),
            ],
            Self::GatedConv {
                name,
                channels,
                kernel,
            } => vec![
                (part(name, "weight"), vec![2 * channels, *channels, *kernel]),
                (part(name, "bias"), vec![2 * channels]),
            ],
            _ => Vec::new(),
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
            Self::AvgPool { side } => map(shape.channels, side, side, 0),
            Self::Residual { ref main, .. } => {
                main.iter().try_fold(shape, |shape, op| op.output(shape))
            }
            Self::Dense(ref branch) => {
                let made = branch
                    .iter()
                    .try_fold(shape, |shape, op| op.output(shape))?;
                Some(ImageShape {
                    channels: shape.channels + made.channels,
                    ..shape
                })
            }
            Self::Embedding { size, .. } | Self::TokenEmbedding { size, .. } => Some(ImageShape {
                channels: size,
                ..shape
            }),
            Self::Patches { count, size, .. } => Some(ImageShape {
                channels: size,
                height: count + 1,
                width: 1,
            }),
            Self::Lstm { hidden, .. } => Some(ImageShape {
                channels: hidden,
                ..shape
            }),
            Self::MeanPool | Self::First => Some(ImageShape { height: 1, ..shape }),
            _ => Some(shape),
        }
    }
}
