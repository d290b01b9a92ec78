//! The weights of a network in training.

use std::sync::Arc;

use super::optimizer::Tensors;
use crate::array::{Array, StateDict};
use crate::cpu::weights::{Kernels, LaidOutKernel};
use crate::error::NetError;
use crate::ops::operation::{Op, kernels};

/// Weights as training changes them. Kernels of convolutions stay as products need them from the first step to
/// the last: turning them round for every step takes a fifth of it.
pub(super) struct Parameters {
    /// The tensors, in PyTorch's layout; those of kernels have no values.
    state: StateDict,
    kernels: Kernels,
}

impl Parameters {
    /// # Errors
    /// [`NetError::Missing`] when a kernel of the program has no tensor.
    pub(super) fn new(program: &[Op], mut state: StateDict) -> Result<Self, NetError> {
        let mut laid_out = Kernels::new();
        for (name, layout) in kernels(program) {
            let Some(array) = state.get_mut(&name) else {
                return Err(NetError::Missing {
                    name,
                    expected: "a tensor of the network".into(),
                });
            };
            let kernel = std::mem::take(&mut array.values);
            let values = Arc::new(layout.to_products(&kernel, |_| 1.0));
            laid_out.insert(name, LaidOutKernel { layout, values });
        }
        Ok(Self {
            state,
            kernels: laid_out,
        })
    }

    /// The tensors that are no kernels.
    pub(super) fn state(&self) -> &StateDict {
        &self.state
    }

    /// The kernels.
    pub(super) fn kernels(&self) -> &Kernels {
        &self.kernels
    }

    /// Values in PyTorch's layout as they lie here.
    pub(super) fn laid_out(&self, name: &str, values: &[f32]) -> Vec<f32> {
        match self.kernels.get(name) {
            Some(kernel) => kernel.layout.to_products(values, |_| 1.0),
            None => values.to_vec(),
        }
    }

    /// Values as they lie here as a tensor of PyTorch's.
    pub(super) fn array(&self, name: &str, values: Vec<f32>) -> Option<Array> {
        let shape = self.state.get(name)?.shape.clone();
        let values = match self.kernels.get(name) {
            Some(kernel) => kernel.layout.to_pytorch(&values),
            None => values,
        };
        Some(Array { shape, values })
    }

    /// All weights, in PyTorch's layout.
    pub(super) fn into_state(self) -> StateDict {
        let Self { mut state, kernels } = self;
        for (name, kernel) in kernels {
            if let Some(array) = state.get_mut(&name) {
                array.values = kernel.layout.to_pytorch(&kernel.values);
            }
        }
        state
    }
}

impl Tensors for Parameters {
    fn values_mut(&mut self, name: &str) -> Option<&mut [f32]> {
        match self.kernels.get_mut(name) {
            Some(kernel) => Some(&mut Arc::make_mut(&mut kernel.values)[..]),
            None => Tensors::values_mut(&mut self.state, name),
        }
    }
}
