//! What a card says about itself.

use fiun::{Estimator, Precision};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// The format of cards that this version writes.
pub(crate) const FORMAT: &str = "fim-card/2";

/// What a card says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CardHeader {
    /// The digest of the model.
    pub model: Digest,
    /// The digest of the data set (or share of one) that it was computed on.
    pub data: String,
    /// The name of the head, without `.weight` and `.bias`.
    pub head: String,
    /// How it was estimated.
    #[serde(with = "estimator_text")]
    pub estimator: Estimator,
    /// The label names of the head's rows.
    pub outputs: Vec<String>,
    /// The names of the data's classes, in the order of the per-class parts.
    pub classes: Vec<String>,
    /// The number of samples of each class.
    pub counts: Vec<u64>,
    /// The tensors of inner layers whose total FIM it holds, by full name.
    pub layers: Vec<String>,
    /// How sure it is, when it was computed on a part of the training data.
    pub precision: Option<Precision>,
    /// When it was computed, in milliseconds since 1970-01-01 UTC; 0 when it does not say.
    pub time: u64,
    /// What computed it.
    pub tool: String,
}

mod estimator_text {
    use fiun::Estimator;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &Estimator, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Estimator, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl CardHeader {
    /// The number of samples that it was computed from.
    pub fn samples(&self) -> u64 {
        self.counts.iter().sum()
    }
}
