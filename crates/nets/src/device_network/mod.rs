//! An architecture and its weights together on a device of burn's: for training, and for
//! evaluation elsewhere than on the CPU.

mod build;
mod run;
mod sequence;

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::nn::conv::Conv2d;
use burn::nn::{BatchNorm, Linear};
use burn::tensor::{Device, Gradients, Tensor};
use rand_chacha::ChaCha8Rng;

use self::build::Builder;
pub(crate) use self::run::Flow;
use crate::architecture::Architecture;
use crate::array::{Array, StateDict};
use crate::error::NetError;
use crate::op::Op;

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
    vectors: Vec<Param<Tensor<1>>>,
    matrices: Vec<Param<Tensor<2>>>,
    cubes: Vec<Param<Tensor<3>>>,
}

/// Where a tensor of a step over sequences is, by its number of dimensions.
#[derive(Clone, Copy)]
pub(crate) enum Slot {
    Vector(usize),
    Matrix(usize),
    Cube(usize),
}

/// An [`Op`] that knows where its parameters are.
pub(crate) enum Step {
    Conv(String, usize),
    BatchNorm(String, usize),
    Linear(String, usize),
    Residual(Vec<Step>, Vec<Step>),
    Dense(Vec<Step>),
    Sequence(Op, Vec<Slot>),
    Plain(Op),
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
        let mut builder = Builder::new(state, &device, frozen);
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
        input: Flow,
        dropout: Option<&mut ChaCha8Rng>,
    ) -> (Tensor<2>, Tensor<2>) {
        let (head, body) = match self.steps.split_last() {
            Some((Step::Linear(_, head), body)) => (*head, body),
            _ => (0, &self.steps[..]),
        };
        let features = run::Pass::new(&self.layers, &input, dropout)
            .all(body, input)
            .vectors();
        let logits = self.layers.linears[head].forward(features.clone());
        (features, logits)
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
                Step::Dense(branch) => self.collect(branch, state)?,
                Step::Sequence(op, slots) => {
                    for ((name, _), slot) in op.tensors().into_iter().zip(slots) {
                        let array = match *slot {
                            Slot::Vector(at) => to_host(self.layers.vectors[at].val()),
                            Slot::Matrix(at) => to_host(self.layers.matrices[at].val()),
                            Slot::Cube(at) => to_host(self.layers.cubes[at].val()),
                        };
                        state.insert(name, array?);
                    }
                }
                Step::Plain(_) => {}
            }
        }
        Ok(())
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

impl DeviceNetwork {
    /// The gradient of every trained tensor, by full name, in PyTorch's layout.
    ///
    /// # Errors
    /// [`NetError::Backend`] when the device cannot be read.
    pub(crate) fn gradients(&self, gradients: &Gradients) -> Result<StateDict, NetError> {
        let mut all = StateDict::new();
        self.collect_gradients(&self.steps, gradients, &mut all)?;
        Ok(all)
    }

    fn collect_gradients(
        &self,
        steps: &[Step],
        gradients: &Gradients,
        all: &mut StateDict,
    ) -> Result<(), NetError> {
        let layers = &self.layers;
        for step in steps {
            match step {
                Step::Conv(name, index) => {
                    let conv = &layers.convs[*index];
                    put(
                        all,
                        format!("{name}.weight"),
                        conv.weight.val().grad(gradients),
                    )?;
                    let bias = conv.bias.as_ref().and_then(|b| b.val().grad(gradients));
                    put(all, format!("{name}.bias"), bias)?;
                }
                Step::BatchNorm(name, index) => {
                    let norm = &layers.norms[*index];
                    put(
                        all,
                        format!("{name}.weight"),
                        norm.gamma.val().grad(gradients),
                    )?;
                    put(all, format!("{name}.bias"), norm.beta.val().grad(gradients))?;
                }
                Step::Linear(name, index) => {
                    let linear = &layers.linears[*index];
                    let weight = linear.weight.val().grad(gradients).map(Tensor::transpose);
                    put(all, format!("{name}.weight"), weight)?;
                    let bias = linear.bias.as_ref().and_then(|b| b.val().grad(gradients));
                    put(all, format!("{name}.bias"), bias)?;
                }
                Step::Residual(main, shortcut) => {
                    self.collect_gradients(main, gradients, all)?;
                    self.collect_gradients(shortcut, gradients, all)?;
                }
                Step::Dense(branch) => self.collect_gradients(branch, gradients, all)?,
                Step::Sequence(op, slots) => {
                    for ((name, _), slot) in op.tensors().into_iter().zip(slots) {
                        match *slot {
                            Slot::Vector(at) => {
                                put(all, name, layers.vectors[at].val().grad(gradients))
                            }
                            Slot::Matrix(at) => {
                                put(all, name, layers.matrices[at].val().grad(gradients))
                            }
                            Slot::Cube(at) => {
                                put(all, name, layers.cubes[at].val().grad(gradients))
                            }
                        }?;
                    }
                }
                Step::Plain(_) => {}
            }
        }
        Ok(())
    }

    /// Brings every value that a mask does not keep back to what it was; tensors without a mask
    /// stay as they are.
    pub(crate) fn hold(&mut self, before: &Layers, masks: &BTreeMap<String, Tensor<1>>) {
        let steps = std::mem::take(&mut self.steps);
        hold_steps(&mut self.layers, before, &steps, masks);
        self.steps = steps;
    }
}

fn put<const D: usize>(
    all: &mut StateDict,
    name: String,
    gradient: Option<Tensor<D>>,
) -> Result<(), NetError> {
    if let Some(gradient) = gradient {
        all.insert(name, to_host(gradient)?);
    }
    Ok(())
}

fn hold_steps(
    layers: &mut Layers,
    before: &Layers,
    steps: &[Step],
    masks: &BTreeMap<String, Tensor<1>>,
) {
    let of = |name: &str, part: &str| masks.get(&format!("{name}.{part}"));
    for step in steps {
        match step {
            Step::Conv(name, at) => {
                let (now, old) = (&mut layers.convs[*at], &before.convs[*at]);
                held(&mut now.weight, &old.weight, of(name, "weight"), false);
                if let (Some(now), Some(old)) = (&mut now.bias, &old.bias) {
                    held(now, old, of(name, "bias"), false);
                }
            }
            Step::BatchNorm(name, at) => {
                let (now, old) = (&mut layers.norms[*at], &before.norms[*at]);
                held(&mut now.gamma, &old.gamma, of(name, "weight"), false);
                held(&mut now.beta, &old.beta, of(name, "bias"), false);
            }
            Step::Linear(name, at) => {
                let (now, old) = (&mut layers.linears[*at], &before.linears[*at]);
                held(&mut now.weight, &old.weight, of(name, "weight"), true);
                if let (Some(now), Some(old)) = (&mut now.bias, &old.bias) {
                    held(now, old, of(name, "bias"), false);
                }
            }
            Step::Residual(main, shortcut) => {
                hold_steps(layers, before, main, masks);
                hold_steps(layers, before, shortcut, masks);
            }
            Step::Dense(branch) => hold_steps(layers, before, branch, masks),
            Step::Sequence(op, slots) => {
                for ((name, _), slot) in op.tensors().into_iter().zip(slots) {
                    let mask = masks.get(&name);
                    match *slot {
                        Slot::Vector(at) => {
                            held(&mut layers.vectors[at], &before.vectors[at], mask, false);
                        }
                        Slot::Matrix(at) => {
                            held(&mut layers.matrices[at], &before.matrices[at], mask, false);
                        }
                        Slot::Cube(at) => {
                            held(&mut layers.cubes[at], &before.cubes[at], mask, false);
                        }
                    }
                }
            }
            Step::Plain(_) => {}
        }
    }
}

/// `transposed` for weights that the device keeps the other way round.
fn held<const D: usize>(
    now: &mut Param<Tensor<D>>,
    before: &Param<Tensor<D>>,
    mask: Option<&Tensor<1>>,
    transposed: bool,
) {
    let Some(mask) = mask else {
        return;
    };
    let (new, old) = (now.val().detach(), before.val().detach());
    let shape = new.dims();
    let mask: Tensor<D> = if transposed && D == 2 {
        let mask = mask.clone().reshape([shape[1], shape[0]]).transpose();
        mask.reshape(shape)
    } else {
        mask.clone().reshape(shape)
    };
    let value = old.clone() + (new - old) * mask;
    *now = Param::initialized(now.id, value.detach().require_grad());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::architecture::Kind;
    use crate::device::Compute;
    use crate::init::initial_state;
    use crate::shape::{Input, TextShape};

    #[test]
    fn what_goes_in_comes_out_name_by_name() {
        for kind in [
            Kind::SmallCnn,
            Kind::AlexNet32,
            Kind::ResNet18,
            Kind::DenseNet161,
            Kind::Lstm,
            Kind::GatedCnn,
            Kind::BertTiny,
        ] {
            let input = if kind.reads_text() {
                Input::Text(TextShape {
                    vocabulary: 30,
                    length: 8,
                })
            } else {
                Input::Images(disinherit_data::ImageShape {
                    channels: 3,
                    height: 32,
                    width: 32,
                })
            };
            let architecture = Architecture {
                kind,
                input,
                classes: 4,
                head: None,
            };
            let state = initial_state(&architecture, 1).unwrap();
            let device = Compute::Flex.device();
            let network = DeviceNetwork::on(&architecture, &state, device, &|_| false).unwrap();
            assert_eq!(network.state().unwrap(), state, "{kind}");
        }
    }
}
