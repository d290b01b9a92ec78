//! Where tensors come from.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};

use crate::error::FormatError;
use crate::tensor::{Dtype, Tensor};

/// Bytes that are read at a time: a multiple of the size of every number.
pub const PIECE: usize = 1 << 20;

/// Where a model's tensors are read from, one at a time.
pub trait TensorSource {
    /// The names of the tensors with their types and shapes.
    fn tensors(&self) -> BTreeMap<String, (Dtype, Vec<usize>)>;

    /// One tensor.
    ///
    /// # Errors
    /// [`FormatError`] when there is none of this name, or it cannot be read.
    fn tensor(&self, name: &str) -> Result<Tensor, FormatError>;

    /// The bytes of one tensor, to be read in order. Where the source is a file that has them in one piece, no more of
    /// them is in memory than is read at a time.
    ///
    /// # Errors
    /// As [`TensorSource::tensor`].
    fn reader(&self, name: &str) -> Result<Box<dyn Read + '_>, FormatError> {
        Ok(Box::new(Cursor::new(self.tensor(name)?.bytes)))
    }
}

/// Reads to the end, [`PIECE`] bytes at a time; the last piece may be shorter.
///
/// # Errors
/// What reading says, and what `take` does.
pub fn for_pieces<E: From<io::Error>>(
    reader: &mut dyn Read,
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut piece = Vec::with_capacity(PIECE);
    loop {
        piece.clear();
        if reader.take(PIECE as u64).read_to_end(&mut piece)? == 0 {
            return Ok(());
        }
        take(&piece)?;
    }
}

/// The type and the shape of a tensor, by its name.
pub type Describe<'a> = dyn Fn(&str) -> Option<(Dtype, Vec<usize>)> + 'a;
