//! Where the parts of a model come from when it is written.

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::error::FormatError;
use crate::source::Describe;
use crate::tensor::Tensor;

/// Where the parts of a model come from when it is written.
pub struct Parts<'a> {
    /// Headers, configuration and whatever else belongs to the format.
    pub documents: BTreeMap<String, Vec<u8>>,
    /// The type and the shape of a tensor.
    pub describe: &'a Describe<'a>,
    /// A tensor; asked for one at a time.
    pub tensor: &'a dyn Fn(&str) -> Result<Tensor, FormatError>,
    /// How a tensor is written by a format that holds its bytes as they are, without all of them in memory; where
    /// there is nothing, the tensor is asked for.
    pub copy: Option<&'a CopyTensor<'a>>,
}

/// Writes the bytes of a tensor, by its name. What the file says of writing is outside, what else goes wrong inside.
pub type CopyTensor<'a> = dyn Fn(&str, &mut dyn Write) -> io::Result<Result<(), FormatError>> + 'a;

impl Parts<'_> {
    /// Writes the bytes of a tensor.
    pub(crate) fn write_tensor(
        &self,
        name: &str,
        out: &mut dyn Write,
    ) -> io::Result<Result<(), FormatError>> {
        if let Some(copy) = self.copy {
            return copy(name, out);
        }
        match (self.tensor)(name) {
            Ok(tensor) => out.write_all(&tensor.bytes).map(Ok),
            Err(error) => Ok(Err(error)),
        }
    }
}
