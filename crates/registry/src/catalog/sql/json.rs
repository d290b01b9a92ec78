//! Documents in columns of text.

use serde::de::DeserializeOwned;

use crate::error::RegistryError;

/// Writes a document.
pub(super) fn to_json<T: serde::Serialize>(what: &str, value: &T) -> Result<String, RegistryError> {
    serde_json::to_string(value).map_err(|error| RegistryError::Document {
        what: what.into(),
        reason: error.to_string(),
    })
}

/// Reads a document.
pub(super) fn from_json<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, RegistryError> {
    serde_json::from_str(text).map_err(|error| RegistryError::Document {
        what: what.into(),
        reason: error.to_string(),
    })
}
