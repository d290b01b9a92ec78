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
}

/// The weights of a network.
pub(crate) struct Weights<'a> {
    pub(crate) state: &'a StateDict,
    pub(crate) purpose: Purpose,
}

impl<'a> Weights<'a> {
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
