//! What an erasure request asks to forget.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use umig::KeptSamples;

/// What must be forgotten. As [`umig::Forget`], but that samples are a list of their own: a record that is
/// listed must not carry a million ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// Every sample with one of these label names.
    Classes(BTreeSet<String>),
    /// Everything that one source supplied.
    Source(String),
    /// The samples of a list, which is an object of the registry.
    Samples(KeptSamples),
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Classes(labels) => {
                let names: Vec<String> = labels.iter().map(|l| format!("`{l}`")).collect();
                let noun = if names.len() == 1 { "class" } else { "classes" };
                write!(f, "{noun} {}", names.join(", "))
            }
            Self::Source(source) => write!(f, "source `{source}`"),
            Self::Samples(list) if list.count() == 1 => f.write_str("1 sample"),
            Self::Samples(list) => write!(f, "{} samples", list.count()),
        }
    }
}
