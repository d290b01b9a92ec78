//! Which samples a model saw: named in the graph itself, or in a list that is kept outside of it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer, ser::Error as _};

/// A list of samples that cannot be asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SampleError {
    /// The graph was read from a file: the list is where the graph came from.
    #[error("the list of samples {list} is not at hand: the graph was read without its registry")]
    Detached {
        /// The digest of the list.
        list: String,
    },
    /// The list was deleted with the version that it belonged to.
    #[error("the list of samples {list} was purged with the version that was trained on them")]
    Gone {
        /// The digest of the list.
        list: String,
    },
    /// The list is damaged, or its storage fails.
    #[error("the list of samples {list} cannot be read: {reason}")]
    Unreadable {
        /// The digest of the list.
        list: String,
        /// What is wrong.
        reason: String,
    },
}

/// Answers for one list of samples, without reading more of it than that takes.
pub trait SampleIndex: fmt::Debug + Send + Sync {
    /// Which of some ids are in the list, in their order.
    ///
    /// # Errors
    /// [`SampleError`] when the list cannot be read.
    fn which(&self, ids: &[&str]) -> Result<Vec<bool>, SampleError>;

    /// All ids of the list, in the order of their bytes; nothing where it has only their hashes.
    ///
    /// # Errors
    /// [`SampleError`] when the list cannot be read.
    fn ids(&self) -> Result<Option<Vec<String>>, SampleError>;

    /// Whether the version that the list belongs to was purged.
    fn is_purged(&self) -> bool;
}

/// A list of samples that is kept outside of the graph: its digest and how many there are.
#[derive(Clone, Serialize, Deserialize)]
pub struct KeptSamples {
    list: String,
    count: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    hashed: bool,
    /// Ids of the list that have been taken out, which the list does not say yet.
    #[serde(
        default,
        skip_deserializing,
        skip_serializing_if = "BTreeSet::is_empty",
        serialize_with = "not_stored"
    )]
    taken_out: BTreeSet<String>,
    #[serde(skip)]
    index: Option<Arc<dyn SampleIndex>>,
}

fn not_stored<S: Serializer>(_: &BTreeSet<String>, _: S) -> Result<S::Ok, S::Error> {
    Err(S::Error::custom(
        "a list with some samples taken out is written before the graph is",
    ))
}

impl KeptSamples {
    /// A list by its digest, with the number of its samples, and whether it has only hashes of their ids.
    pub fn new(list: impl Into<String>, count: u64, hashed: bool) -> Self {
        Self {
            list: list.into(),
            count,
            hashed,
            taken_out: BTreeSet::new(),
            index: None,
        }
    }

    /// The same list, with what answers for it.
    #[must_use]
    pub fn with_index(mut self, index: Arc<dyn SampleIndex>) -> Self {
        self.index = Some(index);
        self
    }

    /// The digest of the list.
    pub fn list(&self) -> &str {
        &self.list
    }

    /// How many samples there are, without those that were taken out.
    pub fn count(&self) -> u64 {
        self.count.saturating_sub(self.taken_out.len() as u64)
    }

    /// Whether the list has only hashes of the ids.
    pub fn is_hashed(&self) -> bool {
        self.hashed
    }

    /// Ids of the list that have been taken out since it was written.
    pub fn taken_out(&self) -> &BTreeSet<String> {
        &self.taken_out
    }

    /// Whether the version that the list belongs to was purged. Its list may be there all the same, where
    /// another version has it too.
    pub fn is_purged(&self) -> bool {
        self.index.as_ref().is_some_and(|index| index.is_purged())
    }

    fn index(&self) -> Result<&dyn SampleIndex, SampleError> {
        let detached = || SampleError::Detached {
            list: self.list.clone(),
        };
        self.index.as_deref().ok_or_else(detached)
    }

    /// Which of some ids are in the list, in their order.
    ///
    /// # Errors
    /// [`SampleError`] when the list cannot be asked.
    pub fn which(&self, ids: &[&str]) -> Result<Vec<bool>, SampleError> {
        let mut found = self.index()?.which(ids)?;
        if !self.taken_out.is_empty() {
            for (found, id) in found.iter_mut().zip(ids) {
                *found &= !self.taken_out.contains(*id);
            }
        }
        Ok(found)
    }

    /// All ids, in the order of their bytes; nothing where only their hashes are kept.
    ///
    /// # Errors
    /// [`SampleError`] when the list cannot be read.
    pub fn ids(&self) -> Result<Option<Vec<String>>, SampleError> {
        let mut ids = self.index()?.ids()?;
        if let Some(ids) = &mut ids {
            ids.retain(|id| !self.taken_out.contains(id));
        }
        Ok(ids)
    }

    /// The same samples without some; nothing where none is left.
    fn without(&self, ids: &BTreeSet<String>) -> Result<Option<Self>, SampleError> {
        let names: Vec<&str> = ids.iter().map(String::as_str).collect();
        let found = self.which(&names)?;
        let mut rest = self.clone();
        let gone = ids.iter().zip(found).filter(|(_, found)| *found);
        rest.taken_out.extend(gone.map(|(id, _)| id.clone()));
        Ok((rest.count() > 0).then_some(rest))
    }
}

impl PartialEq for KeptSamples {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list
            && self.count == other.count
            && self.hashed == other.hashed
            && self.taken_out == other.taken_out
    }
}

impl Eq for KeptSamples {}

impl fmt::Debug for KeptSamples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptSamples")
            .field("list", &self.list)
            .field("count", &self.count)
            .field("hashed", &self.hashed)
            .field("taken_out", &self.taken_out)
            .finish_non_exhaustive()
    }
}

/// Which samples of a data set a model saw.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SampleSet {
    /// Not recorded. Requests for single samples cannot rule such a model out, so they include it.
    #[default]
    Unknown,
    /// Every sample of the split (that has one of the labels).
    All,
    /// Exactly these sample ids.
    Listed(BTreeSet<String>),
    /// Exactly the samples of a list that is kept outside of the graph.
    Kept(KeptSamples),
}

impl SampleSet {
    /// Whether it says sample by sample what was seen. The list of a version that was purged does not
    /// count: it may be gone.
    pub fn is_listed(&self) -> bool {
        match self {
            Self::Unknown | Self::All => false,
            Self::Listed(_) => true,
            Self::Kept(kept) => !kept.is_purged(),
        }
    }

    /// How many samples there are, where they are listed.
    pub fn count(&self) -> Option<u64> {
        match self {
            Self::Unknown | Self::All => None,
            Self::Listed(ids) => Some(ids.len() as u64),
            Self::Kept(kept) => Some(kept.count()),
        }
    }

    /// Whether the list was purged with the version that it belonged to.
    ///
    /// # Errors
    /// [`SampleError`] when the list cannot be read.
    pub fn is_gone(&self) -> Result<bool, SampleError> {
        let Self::Kept(kept) = self else {
            return Ok(false);
        };
        match kept.which(&[]) {
            Err(SampleError::Gone { .. }) => Ok(true),
            other => other.map(|_| false),
        }
    }

    /// Which of some ids may have been seen, in their order: all of them where that is not recorded, or is
    /// not any more because the list was purged.
    ///
    /// # Errors
    /// [`SampleError`] when a list cannot be read.
    pub fn which(&self, ids: &[&str]) -> Result<Vec<bool>, SampleError> {
        match self {
            Self::Unknown | Self::All => Ok(vec![true; ids.len()]),
            Self::Listed(seen) => Ok(ids.iter().map(|id| seen.contains(*id)).collect()),
            Self::Kept(kept) => match kept.which(ids) {
                Err(SampleError::Gone { .. }) => Ok(vec![true; ids.len()]),
                other => other,
            },
        }
    }

    /// Whether any of some ids may have been seen.
    pub(crate) fn meets(&self, ids: &BTreeSet<String>) -> Result<bool, SampleError> {
        if let Self::Listed(seen) = self {
            return Ok(!ids.is_disjoint(seen));
        }
        let names: Vec<&str> = ids.iter().map(String::as_str).collect();
        Ok(self.which(&names)?.contains(&true))
    }

    /// What is left without some samples; nothing where none is. What is not listed stays as it is.
    pub(crate) fn without(&self, ids: &BTreeSet<String>) -> Result<Option<Self>, SampleError> {
        Ok(match self {
            Self::Unknown | Self::All => Some(self.clone()),
            Self::Listed(seen) => {
                let rest: BTreeSet<String> = seen.difference(ids).cloned().collect();
                (!rest.is_empty()).then_some(Self::Listed(rest))
            }
            Self::Kept(kept) => kept.without(ids)?.map(Self::Kept),
        })
    }
}
