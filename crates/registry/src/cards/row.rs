//! Cards as the catalog lists them.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// A FIM card in the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardRow {
    /// The digest of the model that it speaks of.
    pub model: Digest,
    /// Its estimator, in the words of the card's metadata.
    pub estimator: String,
    /// The digest of its file.
    pub blob: Digest,
}
