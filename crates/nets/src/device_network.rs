//! An architecture and its weights together on a device of burn's: for training, and for
//! evaluation elsewhere than on the CPU.

use burn::module::{Module, Param, RunningState};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, PaddingConfig2d};
use burn::tensor::activation::relu;
use burn::tensor::module::{adaptive_avg_pool2d, max_pool2d};
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::{Architecture, Array, NetError, Op, StateDict};

/// A network that can be run and trained.
pub(crate) struct DeviceNetwork {
    pub(crate) steps: Vec<Step>,
    pub(crate) layers: Layers,
    pub(crate) device: Device,
}

/// The parameters, kept apart from the program so that burn's optimizers can walk them.
#[derive(Module, Debug)]
pub(crate) struct Layers {
    convs: Vec<Conv2d>,
    norms: Vec<BatchNorm>,
    linears: Vec<Linear>,
}

/// An [`Op`] that knows where its parameters are.
pub(crate) enum Step {
    Conv(String, usize),
    BatchNorm(String, usize),
    Linear(String, usize),
    Residual(Vec<Step>, Vec<Step>),
    Plain(Op),
}

/// What flows through a network: maps at first, vectors after the flattening.
enum Flow {
    Maps(Tensor<4>),
    Vectors(Tensor<2>),
}

impl DeviceNetwork {
    /// Puts weights on a device; tensors that `frozen` names take no part in training.
    ///
    /// # Errors
    /// [`NetError`] naming the first tensor that is missing, misshapen or not finite.
    pub(crate) fn on(
        architecture: &Architecture,
        state: &StateDict,
        device: Device,
        frozen: &dyn Fn(&str) -> bool,
    ) -> Result<Self, NetError> {
        architecture.check(state)?;
        let mut builder = Builder {
            state,
            device: &device,
            frozen,
            layers: Layers {
                convs: Vec::new(),
                norms: Vec::new(),
                linears: Vec::new(),
            },
        };
        let steps = builder.steps(&architecture.program()?)?;
        let layers = builder.layers;
        Ok(Self {
            steps,
            layers,
            device,
        })
    }

    /// Features and logits of a batch: the input and the output of the head. With `dropout`, the
    /// dropout layers are active.
    pub(crate) fn forward(
        &self,
        input: Tensor<4>,
        mut dropout: Option<&mut ChaCha8Rng>,
    ) -> (Tensor<2>, Tensor<2>) {
        let (head, body) = match self.steps.split_last() {
            Some((Step::Linear(_, head), body)) => (*head, body),
            _ => (0, &self.steps[..]),
        };
        let mut flow = Flow::Maps(input);
        for step in body {
            flow = self.run(step, flow, &mut dropout);
        }
        let features = flow.vectors();
        let logits = self.layers.linears[head].forward(features.clone());
        (features, logits)
    }

    fn run(&self, step: &Step, flow: Flow, dropout: &mut Option<&mut ChaCha8Rng>) -> Flow {
        match step {
            Step::Conv(_, index) => Flow::Maps(self.layers.convs[*index].forward(flow.maps())),
            Step::BatchNorm(_, index) => Flow::Maps(self.layers.norms[*index].forward(flow.maps())),
            Step::Linear(_, index) => {
                Flow::Vectors(self.layers.linears[*index].forward(flow.vectors()))
            }
            Step::Residual(main, shortcut) => {
                let input = flow.maps();
                let branch = |steps: &[Step], dropout: &mut Option<&mut ChaCha8Rng>| {
                    steps
                        .iter()
                        .fold(Flow::Maps(input.clone()), |flow, step| {
                            self.run(step, flow, dropout)
                        })
                        .maps()
                };
                Flow::Maps(branch(main, dropout) + branch(shortcut, dropout))
            }
            Step::Plain(op) => run_plain(op, flow, dropout),
        }
    }

    /// The weights, back on the host.
    ///
    /// # Errors
    /// [`NetError::Backend`] when the device cannot be read.
    pub(crate) fn state(&self) -> Result<StateDict, NetError> {
        let mut state = StateDict::new();
        self.collect(&self.steps, &mut state)?;
        Ok(state)
    }

    fn collect(&self, steps: &[Step], state: &mut StateDict) -> Result<(), NetError> {
        for step in steps {
            match step {
                Step::Conv(name, index) => {
                    let conv = &self.layers.convs[*index];
                    state.insert(format!("{name}.weight"), to_host(conv.weight.val())?);
                    if let Some(bias) = &conv.bias {
                        state.insert(format!("{name}.bias"), to_host(bias.val())?);
                    }
                }
                Step::BatchNorm(name, index) => {
                    let norm = &self.layers.norms[*index];
                    for (part, tensor) in [
                        ("weight", norm.gamma.val()),
                        ("bias", norm.beta.val()),
                        ("running_mean", norm.running_mean.value_sync()),
                        ("running_var", norm.running_var.value_sync()),
                    ] {
                        state.insert(format!("{name}.{part}"), to_host(tensor)?);
                    }
                }
                Step::Linear(name, index) => {
                    let linear = &self.layers.linears[*index];
                    let weight = linear.weight.val().transpose();
                    state.insert(format!("{name}.weight"), to_host(weight)?);
                    if let Some(bias) = &linear.bias {
                        state.insert(format!("{name}.bias"), to_host(bias.val())?);
                    }
                }
                Step::Residual(main, shortcut) => {
                    self.collect(main, state)?;
                    self.collect(shortcut, state)?;
                }
                Step::Plain(_) => {}
            }
        }
        Ok(())
    }
}

fn run_plain(op: &Op, flow: Flow, dropout: &mut Option<&mut ChaCha8Rng>) -> Flow {
    match *op {
        Op::Relu => match flow {
            Flow::Maps(x) => Flow::Maps(relu(x)),
            Flow::Vectors(x) => Flow::Vectors(relu(x)),
        },
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
        Op::AdaptiveAvgPool { side } => Flow::Maps(adaptive_avg_pool2d(flow.maps(), [side, side])),
        Op::Flatten => Flow::Vectors(flow.vectors()),
        Op::Dropout(probability) => match dropout {
            Some(rng) => Flow::Vectors(drop_out(flow.vectors(), probability, rng)),
            None => flow,
        },
        _ => flow,
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

impl Flow {
    fn maps(self) -> Tensor<4> {
        match self {
            Self::Maps(x) => x,
            Self::Vectors(x) => {
                let [rows, cols] = x.dims();
                x.reshape([rows, cols, 1, 1])
            }
        }
    }

    fn vectors(self) -> Tensor<2> {
        match self {
            Self::Vectors(x) => x,
            Self::Maps(x) => {
                let [batch, channels, height, width] = x.dims();
                x.reshape([batch, channels * height * width])
            }
        }
    }
}

fn to_host<const D: usize>(tensor: Tensor<D>) -> Result<Array, NetError> {
    let shape = tensor.dims().to_vec();
    Ok(Array {
        shape,
        values: read(tensor)?,
    })
}

/// A tensor's values on the host.
pub(crate) fn read<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, NetError> {
    let failed = |error: &dyn std::fmt::Debug| NetError::Backend(format!("{error:?}"));
    let data = tensor.try_into_data_as::<f32>().map_err(|e| failed(&e))?;
    data.try_to_vec::<f32>().map_err(|e| failed(&e))
}

struct Builder<'a> {
    state: &'a StateDict,
    device: &'a Device,
    frozen: &'a dyn Fn(&str) -> bool,
    layers: Layers,
}

impl Builder<'_> {
    fn steps(&mut self, ops: &[Op]) -> Result<Vec<Step>, NetError> {
        ops.iter().map(|op| self.step(op)).collect()
    }

    fn step(&mut self, op: &Op) -> Result<Step, NetError> {
        Ok(match op {
            Op::Conv {
                name,
                channels,
                kernel,
                stride,
                padding,
                bias,
            } => {
                let p = *padding;
                let mut conv = Conv2dConfig::new(*channels, [*kernel, *kernel])
                    .with_stride([*stride, *stride])
                    .with_padding(PaddingConfig2d::Explicit(p, p, p, p))
                    .with_bias(*bias)
                    .init(self.device);
                conv.weight = self.param(&format!("{name}.weight"))?;
                if *bias {
                    conv.bias = Some(self.param(&format!("{name}.bias"))?);
                }
                self.layers.convs.push(conv);
                Step::Conv(name.clone(), self.layers.convs.len() - 1)
            }
            Op::BatchNorm { name, channels } => {
                let mut norm = BatchNormConfig::new(*channels).init(self.device);
                norm.gamma = self.param(&format!("{name}.weight"))?;
                norm.beta = self.param(&format!("{name}.bias"))?;
                let mean = self.tensor(&format!("{name}.running_mean"))?;
                let var = self.tensor(&format!("{name}.running_var"))?;
                norm.running_mean = RunningState::new(mean);
                norm.running_var = RunningState::new(var);
                if (self.frozen)(&format!("{name}.weight")) {
                    norm = norm.freeze();
                }
                self.layers.norms.push(norm);
                Step::BatchNorm(name.clone(), self.layers.norms.len() - 1)
            }
            Op::Linear { name, .. } => {
                let weight_name = format!("{name}.weight");
                let weight: Tensor<2> = self.tensor(&weight_name)?;
                let weight = self.trainable(&weight_name, weight.transpose());
                let bias = self.param(&format!("{name}.bias"))?;
                self.layers.linears.push(Linear {
                    weight,
                    bias: Some(bias),
                });
                Step::Linear(name.clone(), self.layers.linears.len() - 1)
            }
            Op::Residual { main, shortcut } => {
                Step::Residual(self.steps(main)?, self.steps(shortcut)?)
            }
            plain => Step::Plain(plain.clone()),
        })
    }

    fn tensor<const D: usize>(&self, name: &str) -> Result<Tensor<D>, NetError> {
        let missing = || NetError::Missing {
            name: name.to_owned(),
            expected: format!("{D} dimensions"),
        };
        let array = self.state.get(name).ok_or_else(missing)?;
        let shape: [usize; D] = array.shape.clone().try_into().map_err(|_| missing())?;
        Ok(Tensor::from_data(
            TensorData::new(array.values.clone(), shape),
            self.device,
        ))
    }

    fn param<const D: usize>(&self, name: &str) -> Result<Param<Tensor<D>>, NetError> {
        Ok(self.trainable(name, self.tensor(name)?))
    }

    fn trainable<const D: usize>(&self, name: &str, tensor: Tensor<D>) -> Param<Tensor<D>> {
        let param = Param::from_tensor(tensor);
        if (self.frozen)(name) {
            param.set_require_grad(false)
        } else {
            param
        }
    }
}

#[cfg(test)]
impl DeviceNetwork {
    /// The gradient of every tensor that has one: the slow and obvious judge of faster ones.
    pub(crate) fn gradients(
        &self,
        gradients: &burn::tensor::Gradients,
    ) -> std::collections::BTreeMap<String, Vec<f32>> {
        fn put<const D: usize>(
            all: &mut std::collections::BTreeMap<String, Vec<f32>>,
            name: String,
            gradient: Option<Tensor<D>>,
        ) {
            if let Some(values) = gradient.and_then(|g| read(g).ok()) {
                all.insert(name, values);
            }
        }
        fn walk(
            network: &DeviceNetwork,
            steps: &[Step],
            gradients: &burn::tensor::Gradients,
            all: &mut std::collections::BTreeMap<String, Vec<f32>>,
        ) {
            let layers = &network.layers;
            for step in steps {
                match step {
                    Step::Conv(name, index) => {
                        let conv = &layers.convs[*index];
                        let weight = conv.weight.val().grad(gradients);
                        put(all, format!("{name}.weight"), weight);
                        let bias = conv.bias.as_ref().and_then(|b| b.val().grad(gradients));
                        put(all, format!("{name}.bias"), bias);
                    }
                    Step::Linear(name, index) => {
                        let linear = &layers.linears[*index];
                        let weight = linear.weight.val().grad(gradients);
                        let weight = weight.map(Tensor::transpose);
                        put(all, format!("{name}.weight"), weight);
                        let bias = linear.bias.as_ref().and_then(|b| b.val().grad(gradients));
                        put(all, format!("{name}.bias"), bias);
                    }
                    Step::Residual(main, shortcut) => {
                        walk(network, main, gradients, all);
                        walk(network, shortcut, gradients, all);
                    }
                    _ => {}
                }
            }
        }
        let mut all = std::collections::BTreeMap::new();
        walk(self, &self.steps, gradients, &mut all);
        all
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Compute, Kind, initial_state};

    #[test]
    fn what_goes_in_comes_out_name_by_name() {
        for kind in [Kind::SmallCnn, Kind::AlexNet32, Kind::ResNet18] {
            let architecture = Architecture {
                kind,
                input: data::ImageShape {
                    channels: 3,
                    height: 32,
                    width: 32,
                },
                classes: 4,
            };
            let state = initial_state(&architecture, 1).unwrap();
            let device = Compute::Flex.device();
            let network = DeviceNetwork::on(&architecture, &state, device, &|_| false).unwrap();
            assert_eq!(network.state().unwrap(), state, "{kind}");
        }
    }
}
