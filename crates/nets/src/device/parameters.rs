//! The parameters of a network on a device, apart from its layers, so that burn's optimizers can
//! walk them; layers keep the places of theirs.

use std::collections::BTreeMap;

use burn::module::{Module, Param, RunningState};
use burn::nn::{BatchNorm, BatchNormConfig};
use burn::tensor::{Device, Gradients, Tensor};

use super::transfer::{to_device, to_host};
use crate::array::StateDict;
use crate::error::NetError;

/// All parameters, by their number of dimensions; batch norms keep their statistics with them.
#[derive(Module, Debug)]
pub(crate) struct Parameters {
    pub(super) norms: Vec<BatchNorm>,
    pub(super) vectors: Vec<Param<Tensor<1>>>,
    pub(super) matrices: Vec<Param<Tensor<2>>>,
    pub(super) cubes: Vec<Param<Tensor<3>>>,
    pub(super) kernels: Vec<Param<Tensor<4>>>,
}

/// The place of a batch norm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NormAt(pub(super) usize);
/// The place of a vector.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VectorAt(pub(super) usize);
/// The place of a matrix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MatrixAt(pub(super) usize);
/// The place of a tensor of three dimensions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CubeAt(pub(super) usize);
/// The place of a tensor of four dimensions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KernelAt(pub(super) usize);

/// Where a tensor is that has a name in the state.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// Under the name of the layer: `weight`, `bias`, `running_mean` and `running_var`.
    Norm(usize),
    Vector(usize),
    Matrix(usize),
    /// The device keeps it the other way round.
    Transposed(usize),
    Cube(usize),
    Kernel(usize),
}

/// The names of the tensors that layers asked for, with their places.
#[derive(Debug, Default)]
pub(crate) struct Directory(Vec<(String, Place)>);

/// Puts the tensors that layers ask for on a device.
pub(crate) struct Builder<'a> {
    state: &'a StateDict,
    device: &'a Device,
    frozen: &'a dyn Fn(&str) -> bool,
    parameters: Parameters,
    directory: Directory,
}

impl<'a> Builder<'a> {
    /// Tensors that `frozen` names take no part in training.
    pub(super) fn new(
        state: &'a StateDict,
        device: &'a Device,
        frozen: &'a dyn Fn(&str) -> bool,
    ) -> Self {
        Self {
            state,
            device,
            frozen,
            parameters: Parameters {
                norms: Vec::new(),
                vectors: Vec::new(),
                matrices: Vec::new(),
                cubes: Vec::new(),
                kernels: Vec::new(),
            },
            directory: Directory::default(),
        }
    }

    pub(super) fn finish(self) -> (Parameters, Directory) {
        (self.parameters, self.directory)
    }

    /// The batch norm with the tensors `name.weight`, `name.bias`, `name.running_mean` and
    /// `name.running_var`. With a frozen weight, it keeps its statistics in training; with frozen
    /// statistics alone, it keeps those and goes on learning its scale and its shift.
    ///
    /// # Errors
    /// [`NetError::Missing`], as of all that follow.
    pub(crate) fn norm(&mut self, name: &str, channels: usize) -> Result<NormAt, NetError> {
        let part = |part: &str| format!("{name}.{part}");
        let mut norm = BatchNormConfig::new(channels).init(self.device);
        norm.gamma = self.param(&part("weight"))?;
        norm.beta = self.param(&part("bias"))?;
        norm.running_mean = RunningState::new(self.tensor(&part("running_mean"))?);
        norm.running_var = RunningState::new(self.tensor(&part("running_var"))?);
        if (self.frozen)(&part("weight")) {
            norm = norm.freeze();
        } else if (self.frozen)(&part("running_mean")) {
            norm.training = Param::from_bool(false);
        }
        let at = self.parameters.norms.len();
        self.parameters.norms.push(norm);
        self.enter(name, Place::Norm(at));
        Ok(NormAt(at))
    }

    /// A tensor of one dimension.
    pub(crate) fn vector(&mut self, name: &str) -> Result<VectorAt, NetError> {
        let at = self.parameters.vectors.len();
        self.parameters.vectors.push(self.param(name)?);
        self.enter(name, Place::Vector(at));
        Ok(VectorAt(at))
    }

    /// A tensor of two dimensions.
    pub(crate) fn matrix(&mut self, name: &str) -> Result<MatrixAt, NetError> {
        let at = self.parameters.matrices.len();
        self.parameters.matrices.push(self.param(name)?);
        self.enter(name, Place::Matrix(at));
        Ok(MatrixAt(at))
    }

    /// A tensor of two dimensions, the other way round than in the state.
    pub(crate) fn transposed(&mut self, name: &str) -> Result<MatrixAt, NetError> {
        let at = self.parameters.matrices.len();
        let tensor: Tensor<2> = self.tensor(name)?;
        let param = self.trainable(name, tensor.transpose());
        self.parameters.matrices.push(param);
        self.enter(name, Place::Transposed(at));
        Ok(MatrixAt(at))
    }

    /// A tensor of three dimensions.
    pub(crate) fn cube(&mut self, name: &str) -> Result<CubeAt, NetError> {
        let at = self.parameters.cubes.len();
        self.parameters.cubes.push(self.param(name)?);
        self.enter(name, Place::Cube(at));
        Ok(CubeAt(at))
    }

    /// A tensor of four dimensions.
    pub(crate) fn kernel(&mut self, name: &str) -> Result<KernelAt, NetError> {
        let at = self.parameters.kernels.len();
        self.parameters.kernels.push(self.param(name)?);
        self.enter(name, Place::Kernel(at));
        Ok(KernelAt(at))
    }

    fn enter(&mut self, name: &str, place: Place) {
        self.directory.0.push((name.to_owned(), place));
    }

    fn tensor<const D: usize>(&self, name: &str) -> Result<Tensor<D>, NetError> {
        let array = self.state.get(name);
        array
            .and_then(|array| to_device(array, self.device))
            .ok_or_else(|| NetError::Missing {
                name: name.to_owned(),
                expected: format!("{D} dimensions"),
            })
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

impl Directory {
    /// All values, back on the host.
    ///
    /// # Errors
    /// [`NetError::Backend`] when the device cannot be read.
    pub(super) fn state(&self, parameters: &Parameters) -> Result<StateDict, NetError> {
        let mut state = StateDict::new();
        for (name, place) in &self.0 {
            let array = match *place {
                Place::Norm(at) => {
                    let norm = &parameters.norms[at];
                    for (part, tensor) in [
                        ("weight", norm.gamma.val()),
                        ("bias", norm.beta.val()),
                        ("running_mean", norm.running_mean.value_sync()),
                        ("running_var", norm.running_var.value_sync()),
                    ] {
                        state.insert(format!("{name}.{part}"), to_host(tensor)?);
                    }
                    continue;
                }
                Place::Vector(at) => to_host(parameters.vectors[at].val()),
                Place::Matrix(at) => to_host(parameters.matrices[at].val()),
                Place::Transposed(at) => to_host(parameters.matrices[at].val().transpose()),
                Place::Cube(at) => to_host(parameters.cubes[at].val()),
                Place::Kernel(at) => to_host(parameters.kernels[at].val()),
            };
            state.insert(name.clone(), array?);
        }
        Ok(state)
    }

    /// The gradient of every trained tensor, in PyTorch's layout.
    ///
    /// # Errors
    /// As [`Directory::state`].
    pub(super) fn gradients(
        &self,
        parameters: &Parameters,
        gradients: &Gradients,
    ) -> Result<StateDict, NetError> {
        let mut all = StateDict::new();
        for (name, place) in &self.0 {
            match *place {
                Place::Norm(at) => {
                    let norm = &parameters.norms[at];
                    put(
                        &mut all,
                        &format!("{name}.weight"),
                        norm.gamma.val().grad(gradients),
                    )?;
                    put(
                        &mut all,
                        &format!("{name}.bias"),
                        norm.beta.val().grad(gradients),
                    )?;
                }
                Place::Vector(at) => {
                    put(&mut all, name, parameters.vectors[at].val().grad(gradients))?;
                }
                Place::Matrix(at) => {
                    put(
                        &mut all,
                        name,
                        parameters.matrices[at].val().grad(gradients),
                    )?;
                }
                Place::Transposed(at) => {
                    let gradient = parameters.matrices[at].val().grad(gradients);
                    put(&mut all, name, gradient.map(Tensor::transpose))?;
                }
                Place::Cube(at) => put(&mut all, name, parameters.cubes[at].val().grad(gradients))?,
                Place::Kernel(at) => {
                    put(&mut all, name, parameters.kernels[at].val().grad(gradients))?;
                }
            }
        }
        Ok(all)
    }

    /// Brings every value that a mask does not keep back to what it was; tensors without a mask
    /// stay as they are.
    pub(super) fn hold(
        &self,
        parameters: &mut Parameters,
        before: &Parameters,
        masks: &BTreeMap<String, Tensor<1>>,
    ) {
        let (now, old) = (parameters, before);
        for (name, place) in &self.0 {
            let mask = masks.get(name);
            match *place {
                Place::Norm(at) => {
                    let part = |part: &str| masks.get(&format!("{name}.{part}"));
                    let (now, old) = (&mut now.norms[at], &old.norms[at]);
                    held(&mut now.gamma, &old.gamma, part("weight"), false);
                    held(&mut now.beta, &old.beta, part("bias"), false);
                }
                Place::Vector(at) => held(&mut now.vectors[at], &old.vectors[at], mask, false),
                Place::Matrix(at) => held(&mut now.matrices[at], &old.matrices[at], mask, false),
                Place::Transposed(at) => {
                    held(&mut now.matrices[at], &old.matrices[at], mask, true);
                }
                Place::Cube(at) => held(&mut now.cubes[at], &old.cubes[at], mask, false),
                Place::Kernel(at) => held(&mut now.kernels[at], &old.kernels[at], mask, false),
            }
        }
    }
}

fn put<const D: usize>(
    all: &mut StateDict,
    name: &str,
    gradient: Option<Tensor<D>>,
) -> Result<(), NetError> {
    if let Some(gradient) = gradient {
        all.insert(name.to_owned(), to_host(gradient)?);
    }
    Ok(())
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
