//! Reading an object.

use crate::digest::Digest;
use crate::error::RegistryError;

/// Something that has objects: what the parts of a card are read from.
pub trait ReadObject {
    /// The bytes of an object.
    ///
    /// # Errors
    /// [`RegistryError::Missing`], [`RegistryError::Damaged`], or what the storage says.
    fn object(&self, digest: Digest) -> Result<Vec<u8>, RegistryError>;
}
