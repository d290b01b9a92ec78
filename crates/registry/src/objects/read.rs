//! Reading an object.

use std::path::PathBuf;

use crate::digest::Digest;
use crate::error::RegistryError;

/// Something that has objects: what the parts of a card are read from.
pub trait ReadObject {
    /// The bytes of an object.
    ///
    /// # Errors
    /// [`RegistryError::Missing`], [`RegistryError::Damaged`], or what the storage says.
    fn object(&self, digest: Digest) -> Result<Vec<u8>, RegistryError>;

    /// The file that a large object lies in, where there is one; its bytes are checked.
    ///
    /// # Errors
    /// As [`ReadObject::object`].
    fn object_file(&self, _digest: Digest) -> Result<Option<PathBuf>, RegistryError> {
        Ok(None)
    }
}
