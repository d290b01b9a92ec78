//! What layers on the CPU are made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::kernel_layout::KernelLayout;
use crate::array::StateDict;
use crate::error::NetError;

/// A kernel of a convolution, laid out for products.
pub(crate) struct LaidOutKernel {
    pub(crate) layout: KernelLayout,
    pub(crate) values: Arc<Vec<f32>>,
}

/// Kernels by the names of their tensors.
pub(crate) type Kernels = BTreeMap<String, LaidOutKernel>;

/// What layers are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Outputs only: layers are merged where that is possible.
    Outputs,
    /// Gradients too: every layer stays apart.
    Gradients,
    /// Training: as [`Purpose::Gradients`], with dropout and with the statistics of each batch.
    Training,
}

/// The weights of a network.
pub(crate) struct Weights<'a> {
    pub(crate) state: &'a StateDict,
    pub(crate) purpose: Purpose,
    /// Names the tensors that stay as they are in training.
    frozen: Option<&'a dyn Fn(&str) -> bool>,
    /// What is laid out already.
    kernels: Option<&'a Kernels>,
}

impl<'a> Weights<'a> {
    pub(crate) fn new(state: &'a StateDict, purpose: Purpose) -> Self {
        Self {
            state,
            purpose,
            frozen: None,
            kernels: None,
        }
    }

    /// For a training in which the tensors that `frozen` names stay; `kernels` are laid out already.
    pub(crate) fn of_training(
        state: &'a StateDict,
        kernels: &'a Kernels,
        frozen: &'a dyn Fn(&str) -> bool,
    ) -> Self {
        Self {
            state,
            purpose: Purpose::Training,
            frozen: Some(frozen),
            kernels: Some(kernels),
        }
    }

    /// Whether a batch norm goes by the statistics of the batch: in training, unless its weight or its
    /// statistics are frozen.
    pub(crate) fn go_by_batch(&self, name: &str) -> bool {
        self.purpose == Purpose::Training
            && self.frozen.is_some_and(|frozen| {
                !frozen(&format!("{name}.weight")) && !frozen(&format!("{name}.running_mean"))
            })
    }

    /// The kernel of the convolution `name`, laid out for products; every output channel multiplied by its
    /// factor, where there are any.
    ///
    /// # Errors
    /// As [`Weights::tensor`].
    pub(crate) fn kernel(
        &self,
        name: &str,
        layout: KernelLayout,
        factors: Option<&[f32]>,
    ) -> Result<Arc<Vec<f32>>, NetError> {
        let kernels = self.kernels.filter(|_| factors.is_none());
        if let Some(kernel) = kernels.and_then(|kernels| kernels.get(&kernel_of(name))) {
            return Ok(Arc::clone(&kernel.values));
        }
        let weight = self.tensor(name, "weight")?;
        let factor = |channel: usize| factors.map_or(1.0, |factors| factors[channel]);
        Ok(Arc::new(layout.to_products(weight, factor)))
    }

    /// The values of `name.part`, in PyTorch's layout.
    ///
    /// # Errors
    /// [`NetError::Missing`] when there is no such tensor.
    pub(crate) fn tensor(&self, name: &str, part: &str) -> Result<&'a [f32], NetError> {
        self.named(&format!("{name}.{part}"))
    }

    /// The values of a tensor by its whole name, in PyTorch's layout.
    ///
    /// # Errors
    /// As [`Weights::tensor`].
    pub(crate) fn named(&self, name: &str) -> Result<&'a [f32], NetError> {
        match self.state.get(name) {
            Some(array) => Ok(&array.values),
            None => Err(NetError::Missing {
                name: name.to_owned(),
                expected: "a tensor of the network".into(),
            }),
        }
    }
}

/// The tensor that is the kernel of a convolution.
pub(crate) fn kernel_of(convolution: &str) -> String {
    format!("{convolution}.weight")
}
