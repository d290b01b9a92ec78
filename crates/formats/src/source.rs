//! Where tensors come from.

use std::collections::BTreeMap;

use crate::error::FormatError;
use crate::tensor::{Dtype, Tensor};

/// Where a model's tensors are read from, one at a time.
pub trait TensorSource {
    /// The names of the tensors with their types and shapes.
    fn tensors(&self) -> BTreeMap<String, (Dtype, Vec<usize>)>;

    /// One tensor.
    ///
    /// # Errors
    /// [`FormatError`] when there is none of this name, or it cannot be read.
    fn tensor(&self, name: &str) -> Result<Tensor, FormatError>;
}

/// The type and the shape of a tensor, by its name.
pub type Describe<'a> = dyn Fn(&str) -> Option<(Dtype, Vec<usize>)> + 'a;
