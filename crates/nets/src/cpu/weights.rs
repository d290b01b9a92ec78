//! What layers on the CPU are made from.

use crate::array::StateDict;
use crate::error::NetError;

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
}

impl<'a> Weights<'a> {
    pub(crate) fn new(state: &'a StateDict, purpose: Purpose) -> Self {
        Self {
            state,
            purpose,
            frozen: None,
        }
    }

    /// For a training in which the tensors that `frozen` names stay.
    pub(crate) fn of_training(state: &'a StateDict, frozen: &'a dyn Fn(&str) -> bool) -> Self {
        Self {
            state,
            purpose: Purpose::Training,
            frozen: Some(frozen),
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

    /// The values of `name.part`, in PyTorch's layout.
    ///
    /// # Errors
    /// [`NetError::Missing`] when there is no such tensor.
    pub(crate) fn tensor(&self, name: &str, part: &str) -> Result<&'a [f32], NetError> {
        let name = format!("{name}.{part}");
        match self.state.get(&name) {
            Some(array) => Ok(&array.values),
            None => Err(NetError::Missing {
                name,
                expected: "a tensor of the network".into(),
            }),
        }
    }
}
