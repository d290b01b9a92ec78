//! Vertices: model versions and what they were trained on themselves.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::samples::SampleSet;

/// A model id that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a model id: {reason}")]
pub struct IdError {
    /// What was read.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// The identity of one immutable model version, written `name@version`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelId {
    /// Shared by all copies: large graphs answer with hundreds of thousands of ids.
    name: Arc<str>,
    version: u32,
}

impl ModelId {
    /// An id from its parts.
    ///
    /// # Errors
    /// [`IdError`] when the name is empty, longer than 128 bytes, starts with a dot or a dash, or
    /// holds anything but letters, digits, `.`, `_`, `-` and `/`, or when the version is 0.
    pub fn new(name: impl Into<String>, version: u32) -> Result<Self, IdError> {
        let name = name.into();
        let refuse = |reason| {
            Err(IdError {
                text: format!("{name}@{version}"),
                reason,
            })
        };
        if name.is_empty() || name.len() > 128 {
            return refuse("a name has 1 to 128 characters");
        }
        if name.starts_with(['.', '-', '/']) || name.ends_with('/') || name.contains("..") {
            return refuse("a name starts with a letter or digit and holds no `..`");
        }
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
        if !name.chars().all(allowed) {
            return refuse("a name holds letters, digits, `.`, `_`, `-` and `/` only");
        }
        if version == 0 {
            return refuse("versions start at 1");
        }
        Ok(Self {
            name: name.into(),
            version,
        })
    }

    /// The name, shared by all versions.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The version, from 1.
    pub fn version(&self) -> u32 {
        self.version
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

impl FromStr for ModelId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let refuse = |reason| IdError {
            text: text.to_owned(),
            reason,
        };
        let (name, version) = text
            .rsplit_once('@')
            .ok_or_else(|| refuse("expected `name@version`"))?;
        let version = version
            .parse()
            .map_err(|_| refuse("the version after `@` is a whole number"))?;
        Self::new(name, version)
    }
}

impl TryFrom<String> for ModelId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<ModelId> for String {
    fn from(id: ModelId) -> String {
        id.to_string()
    }
}

/// What a model was trained on *itself*, not through its parents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Training {
    /// The data set's name.
    pub data: String,
    /// The data set's digest, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The split or share of it, for instance `train` or `client-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// Names of the labels that occurred in training.
    pub labels: BTreeSet<String>,
    /// The samples, when recorded.
    #[serde(default)]
    pub samples: SampleSet,
    /// Who supplied the data (a person, a client, a vendor).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

impl Training {
    /// Training on a data set with the given label names; the rest unknown.
    pub fn new<L: Into<String>>(
        data: impl Into<String>,
        labels: impl IntoIterator<Item = L>,
    ) -> Self {
        Self {
            data: data.into(),
            digest: None,
            split: None,
            labels: labels.into_iter().map(Into::into).collect(),
            samples: SampleSet::Unknown,
            source: None,
        }
    }
}

impl fmt::Display for Training {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<&str> = self.labels.iter().map(String::as_str).collect();
        write!(f, "{}", self.data)?;
        if let Some(split) = &self.split {
            write!(f, "/{split}")?;
        }
        if let Some(source) = &self.source {
            write!(f, " from {source}")?;
        }
        write!(f, " (labels {})", labels.join(", "))
    }
}

/// A vertex: one immutable model version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Its identity.
    pub id: ModelId,
    /// When it came to be, in milliseconds since 1970-01-01 UTC (any clock that never runs
    /// backwards along an edge will do).
    pub time: u64,
    /// The label names of its outputs, in the order of the head's rows; empty when unknown.
    #[serde(default)]
    pub labels: Vec<String>,
    /// What it was trained on itself; empty when unknown or nothing.
    #[serde(default)]
    pub training: Vec<Training>,
    /// Whether a later version replaces it. Requests pass superseded versions over.
    #[serde(default)]
    pub superseded: bool,
}

impl Model {
    /// A vertex with nothing recorded but its identity and time.
    pub fn new(id: ModelId, time: u64) -> Self {
        Self {
            id,
            time,
            labels: Vec::new(),
            training: Vec::new(),
            superseded: false,
        }
    }

    /// The same vertex with the label names of its outputs.
    pub fn with_labels<L: Into<String>>(mut self, labels: impl IntoIterator<Item = L>) -> Self {
        self.labels = labels.into_iter().map(Into::into).collect();
        self
    }

    /// The same vertex with one more thing that it was trained on.
    pub fn trained_on(mut self, training: Training) -> Self {
        self.training.push(training);
        self
    }
}
