//! From host weights to layers on a device.

use burn::module::{Module, Param, RunningState};
use burn::nn::conv::Conv2dConfig;
use burn::nn::{BatchNormConfig, Linear, PaddingConfig2d};
use burn::tensor::{Device, Tensor, TensorData};

use super::{Layers, Slot, Step};
use crate::array::StateDict;
use crate::error::NetError;
use crate::op::Op;

/// Puts the tensors of a program on a device.
pub(super) struct Builder<'a> {
    state: &'a StateDict,
    device: &'a Device,
    frozen: &'a dyn Fn(&str) -> bool,
    pub(super) layers: Layers,
}

impl<'a> Builder<'a> {
    pub(super) fn new(
        state: &'a StateDict,
        device: &'a Device,
        frozen: &'a dyn Fn(&str) -> bool,
    ) -> Self {
        Self {
            state,
            device,
            frozen,
            layers: Layers {
                convs: Vec::new(),
                norms: Vec::new(),
                linears: Vec::new(),
                vectors: Vec::new(),
                matrices: Vec::new(),
                cubes: Vec::new(),
            },
        }
    }

    pub(super) fn steps(&mut self, ops: &[Op]) -> Result<Vec<Step>, NetError> {
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
            Op::Dense(branch) => Step::Dense(self.steps(branch)?),
            other => {
                let tensors = other.tensors();
                if tensors.is_empty() {
                    Step::Plain(other.clone())
                } else {
                    let slots = tensors.iter().map(|(name, shape)| self.slot(name, shape));
                    Step::Sequence(other.clone(), slots.collect::<Result<_, _>>()?)
                }
            }
        })
    }

    fn slot(&mut self, name: &str, shape: &[usize]) -> Result<Slot, NetError> {
        Ok(match shape.len() {
            1 => {
                self.layers.vectors.push(self.param(name)?);
                Slot::Vector(self.layers.vectors.len() - 1)
            }
            2 => {
                self.layers.matrices.push(self.param(name)?);
                Slot::Matrix(self.layers.matrices.len() - 1)
            }
            _ => {
                self.layers.cubes.push(self.param(name)?);
                Slot::Cube(self.layers.cubes.len() - 1)
            }
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
