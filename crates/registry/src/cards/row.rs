//! Cards as the catalog lists them.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// A FIM card in the catalog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardRow {
    /// The digest of the model that it speaks of.
    pub model: Digest,
    /// Its estimator, in the words of the card's metadata; of a part ([`CardRow::of_source`]) with its source.
    pub estimator: String,
    /// The digest of its file.
    pub blob: Digest,
}

/// What stands between the estimator and the source of a part.
const OF_SOURCE: &str = "; source=";

impl CardRow {
    /// The same for a card of those samples alone that one source supplied. A model that several sources trained may
    /// have one of each, beside the card of all of its data.
    #[must_use]
    pub fn of_source(mut self, source: &str) -> Self {
        self.estimator = part_of(&self.estimator, source);
        self
    }

    /// The source that it is of alone; `None` for a card of all data.
    pub fn source(&self) -> Option<&str> {
        let part = self.estimator.split_once(OF_SOURCE);
        part.map(|(_, source)| source)
    }

    /// Whether it is of this source's samples alone, by this estimator.
    pub fn is_part(&self, estimator: &str, source: &str) -> bool {
        self.estimator == part_of(estimator, source)
    }
}

/// The estimator, and whose samples alone it was given.
fn part_of(estimator: &str, source: &str) -> String {
    format!("{estimator}{OF_SOURCE}{source}")
}
