//! The CPU engine for evaluation and for gradients at activations.
//!
//! Networks are run with channels last, convolutions as matrix products (`gemm`), batch
//! normalisation folded into them where only the output matters. Training stays with burn.

mod convolution;
mod maps;
mod pool;
mod tape;

pub(crate) use maps::Maps;
pub(crate) use tape::{Layer, Tape, Tapped};

use fiun::{Factor, FisherError, Product, Threads};

use self::convolution::Convolution;
use crate::architecture::Architecture;
use crate::array::StateDict;
use crate::error::NetError;
use crate::op::Op;

/// PyTorch's default.
pub(crate) const EPSILON: f32 = 1e-5;

/// A network on the host.
pub(crate) struct HostNetwork {
    steps: Vec<Step>,
    head: Linear,
}

enum Step {
    Convolution(Named<Convolution>),
    Norm(Named<Norm>),
    Linear(Named<Linear>),
    Relu,
    MaxPool([usize; 3]),
    AveragePool(usize),
    AverageWindows(usize),
    Dense(Vec<Step>),
    Flatten,
    Residual {
        main: Vec<Step>,
        shortcut: Vec<Step>,
        relu: bool,
    },
}

/// A layer with parameters, by the name that its tensors start with.
struct Named<T> {
    name: String,
    layer: T,
}

/// Batch normalisation with fixed statistics, as a factor and a shift of each channel.
struct Norm {
    mean: Vec<f32>,
    variance: Vec<f32>,
    factor: Vec<f32>,
    shift: Vec<f32>,
}

struct Linear {
    /// `[outputs, inputs]`.
    weight: Vec<f32>,
    bias: Vec<f32>,
}

/// What a compilation is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Outputs only: layers are merged where that is possible.
    Outputs,
    /// Gradients too: every layer stays apart.
    Gradients,
}

impl HostNetwork {
    pub(crate) fn new(
        architecture: &Architecture,
        state: &StateDict,
        purpose: Purpose,
    ) -> Result<Self, NetError> {
        architecture.check(state)?;
        let compiler = Compiler { state, purpose };
        let mut program = architecture.program()?;
        let head = match program.pop() {
            Some(Op::Linear { name, .. }) => compiler.linear(&name)?,
            _ => return Err(NetError::Backend("a network without a head".into())),
        };
        Ok(Self {
            steps: compiler.steps(&program)?,
            head,
        })
    }

    /// The features (the head's input) of some maps.
    pub(crate) fn features(&self, input: Maps, threads: usize) -> Result<Maps, NetError> {
        forward(&self.steps, input, threads).map_err(backend)
    }

    /// The logits of some features.
    pub(crate) fn logits(&self, features: &Maps) -> Result<Maps, NetError> {
        self.head.forward(features, Threads::One).map_err(backend)
    }
}

pub(crate) fn backend(error: FisherError) -> NetError {
    NetError::Backend(error.to_string())
}

fn forward(steps: &[Step], mut maps: Maps, threads: usize) -> Result<Maps, FisherError> {
    for step in steps {
        maps = match step {
            Step::Convolution(conv) => conv.layer.forward(&maps, threads)?,
            Step::Norm(norm) => norm.layer.forward(maps),
            Step::Linear(linear) => linear.layer.forward(&maps.flattened(), Threads::One)?,
            Step::Relu => relu(maps),
            Step::MaxPool(window) => pool::max_pool(&maps, *window, None),
            Step::AveragePool(grid) => pool::average_pool(&maps, *grid),
            Step::AverageWindows(side) => pool::average_windows(&maps, *side),
            Step::Dense(branch) => {
                let made = forward(branch, maps.clone(), threads)?;
                joined(&maps, &made)
            }
            Step::Flatten => maps.flattened(),
            Step::Residual {
                main,
                shortcut,
                relu: cut,
            } => {
                let mut sum = forward(main, maps.clone(), threads)?;
                let other = forward(shortcut, maps, threads)?;
                add(&mut sum, &other, *cut);
                sum
            }
        };
    }
    Ok(maps)
}

fn relu(mut maps: Maps) -> Maps {
    maps.values.iter_mut().for_each(|v| *v = v.max(0.0));
    maps
}

fn add(sum: &mut Maps, other: &Maps, relu: bool) {
    for (a, b) in sum.values.iter_mut().zip(&other.values) {
        let value = *a + b;
        *a = if relu { value.max(0.0) } else { value };
    }
}

/// The channels of one, then those of the other, position by position.
fn joined(first: &Maps, second: &Maps) -> Maps {
    let channels = first.channels + second.channels;
    let mut values = Vec::with_capacity(first.values.len() + second.values.len());
    let rows = first.values.chunks_exact(first.channels.max(1));
    for (a, b) in rows.zip(second.values.chunks_exact(second.channels.max(1))) {
        values.extend_from_slice(a);
        values.extend_from_slice(b);
    }
    Maps {
        samples: first.samples,
        size: first.size,
        channels,
        values,
    }
}

/// The reverse of [`joined`]; the first one gets so many channels.
fn parted(maps: &Maps, channels: usize) -> (Maps, Maps) {
    let part = |range: std::ops::Range<usize>| Maps {
        samples: maps.samples,
        size: maps.size,
        channels: range.len(),
        values: maps
            .values
            .chunks_exact(maps.channels.max(1))
            .flat_map(|row| &row[range.clone()])
            .copied()
            .collect(),
    };
    (part(0..channels), part(channels..maps.channels))
}

impl Norm {
    fn forward(&self, mut maps: Maps) -> Maps {
        for row in maps.values.chunks_exact_mut(self.factor.len().max(1)) {
            for ((value, factor), shift) in row.iter_mut().zip(&self.factor).zip(&self.shift) {
                *value = *value * factor + shift;
            }
        }
        maps
    }

    fn backward(&self, mut delta: Maps) -> Maps {
        for row in delta.values.chunks_exact_mut(self.factor.len().max(1)) {
            row.iter_mut()
                .zip(&self.factor)
                .for_each(|(value, factor)| *value *= factor);
        }
        delta
    }
}

impl Linear {
    fn forward(&self, input: &Maps, threads: Threads) -> Result<Maps, FisherError> {
        let (inputs, outputs) = (input.channels, self.bias.len());
        let mut out = Maps::zeros(input.samples, [1, 1], outputs);
        Product {
            shape: [input.samples, inputs, outputs],
            left: Factor::rows(&input.values, inputs),
            right: Factor::rows(&self.weight, inputs).transposed(),
            threads,
        }
        .store(&mut out.values, outputs)?;
        for row in out.values.chunks_exact_mut(outputs.max(1)) {
            row.iter_mut().zip(&self.bias).for_each(|(z, b)| *z += b);
        }
        Ok(out)
    }

    fn backward(&self, delta: &Maps) -> Result<Maps, FisherError> {
        let outputs = self.bias.len();
        let inputs = self.weight.len() / outputs.max(1);
        let mut out = Maps::zeros(delta.samples, [1, 1], inputs);
        Product {
            shape: [delta.samples, outputs, inputs],
            left: Factor::rows(&delta.values, outputs),
            right: Factor::rows(&self.weight, inputs),
            threads: Threads::All,
        }
        .store(&mut out.values, inputs)?;
        Ok(out)
    }
}

struct Compiler<'a> {
    state: &'a StateDict,
    purpose: Purpose,
}

impl Compiler<'_> {
    fn tensor(&self, name: &str, part: &str) -> Result<&[f32], NetError> {
        let name = format!("{name}.{part}");
        match self.state.get(&name) {
            Some(array) => Ok(&array.values),
            None => Err(NetError::Missing {
                name,
                expected: "a tensor of the network".into(),
            }),
        }
    }

    fn steps(&self, ops: &[Op]) -> Result<Vec<Step>, NetError> {
        let mut steps = Vec::with_capacity(ops.len());
        let mut rest = ops;
        while let Some((op, after)) = rest.split_first() {
            rest = after;
            let merge = self.purpose == Purpose::Outputs;
            let step = match op {
                Op::Conv { .. } => {
                    let norm = match rest.first() {
                        Some(Op::BatchNorm { name, .. }) if merge => {
                            rest = &rest[1..];
                            Some(self.norm(name)?)
                        }
                        _ => None,
                    };
                    let relu = merge && rest.first() == Some(&Op::Relu);
                    rest = &rest[usize::from(relu)..];
                    Step::Convolution(self.convolution(op, norm, relu)?)
                }
                Op::BatchNorm { name, .. } => Step::Norm(Named {
                    name: name.clone(),
                    layer: self.norm(name)?,
                }),
                Op::Linear { name, .. } => Step::Linear(Named {
                    name: name.clone(),
                    layer: self.linear(name)?,
                }),
                Op::Residual { main, shortcut } => {
                    let relu = merge && rest.first() == Some(&Op::Relu);
                    rest = &rest[usize::from(relu)..];
                    Step::Residual {
                        main: self.steps(main)?,
                        shortcut: self.steps(shortcut)?,
                        relu,
                    }
                }
                Op::Relu => Step::Relu,
                Op::MaxPool {
                    kernel,
                    stride,
                    padding,
                } => Step::MaxPool([*kernel, *stride, *padding]),
                Op::AdaptiveAvgPool { side } => Step::AveragePool(*side),
                Op::Flatten => Step::Flatten,
                // Evaluation mode: nothing is dropped.
                Op::Dropout(_) => continue,
                Op::AvgPool { side } => Step::AverageWindows(*side),
                Op::Dense(branch) => Step::Dense(self.steps(branch)?),
                other => {
                    return Err(NetError::Backend(format!(
                        "the engine for image networks does not run {other:?}"
                    )));
                }
            };
            steps.push(step);
        }
        Ok(steps)
    }

    fn convolution(
        &self,
        op: &Op,
        norm: Option<Norm>,
        relu: bool,
    ) -> Result<Named<Convolution>, NetError> {
        let Op::Conv {
            name,
            channels,
            kernel,
            stride,
            padding,
            bias,
        } = op
        else {
            return Err(NetError::Backend("not a convolution".into()));
        };
        let mut shift = if *bias {
            self.tensor(name, "bias")?.to_vec()
        } else {
            vec![0.0; channels[1]]
        };
        if let Some(norm) = &norm {
            for ((bias, factor), after) in shift.iter_mut().zip(&norm.factor).zip(&norm.shift) {
                *bias = *bias * factor + after;
            }
        }
        let factors = norm.as_ref().map(|norm| &norm.factor[..]);
        let weight = self.tensor(name, "weight")?;
        Ok(Named {
            name: name.clone(),
            layer: Convolution {
                channels: *channels,
                kernel: *kernel,
                stride: *stride,
                padding: *padding,
                weight: Convolution::layout(weight, *channels, *kernel, factors),
                bias: shift,
                relu,
            },
        })
    }

    fn norm(&self, name: &str) -> Result<Norm, NetError> {
        let part = |part| self.tensor(name, part).map(<[f32]>::to_vec);
        let (mean, variance) = (part("running_mean")?, part("running_var")?);
        let factor: Vec<f32> = part("weight")?
            .iter()
            .zip(&variance)
            .map(|(weight, variance)| weight / (variance + EPSILON).sqrt())
            .collect();
        let shift = part("bias")?
            .iter()
            .zip(&mean)
            .zip(&factor)
            .map(|((bias, mean), factor)| bias - mean * factor)
            .collect();
        Ok(Norm {
            mean,
            variance,
            factor,
            shift,
        })
    }

    fn linear(&self, name: &str) -> Result<Linear, NetError> {
        Ok(Linear {
            weight: self.tensor(name, "weight")?.to_vec(),
            bias: self.tensor(name, "bias")?.to_vec(),
        })
    }
}
