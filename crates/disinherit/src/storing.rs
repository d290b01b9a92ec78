//! Edits on their way to the storage.

use std::collections::BTreeMap;
use std::thread::ScopedJoinHandle;

use disinherit_formats::Tensor;
use disinherit_registry::{Manifest, ModelOutcome, Registry};

use crate::draft::DraftKeeper;
use crate::error::EngineError;

/// Edits that are stored, or why they are not.
pub(crate) type Stored = Result<Vec<ModelOutcome>, EngineError>;

/// Edits that are not stored yet.
#[derive(Default)]
pub(crate) struct Unstored {
    pub(crate) outcomes: Vec<ModelOutcome>,
    /// What each becomes: its manifest so far, and the tensors that changed.
    pub(crate) models: Vec<(Manifest, BTreeMap<String, Tensor>)>,
}

impl Unstored {
    /// Bytes of the tensors that changed.
    pub(crate) fn bytes(&self) -> u64 {
        let tensors = self.models.iter().flat_map(|(_, changed)| changed.values());
        tensors.map(|tensor| tensor.bytes.len() as u64).sum()
    }

    /// Stores them, and keeps them as drafts with their outcomes.
    ///
    /// # Errors
    /// What the registry says.
    pub(crate) fn store(self, registry: &Registry, drafts: &DraftKeeper<'_>) -> Stored {
        let mut outcomes = self.outcomes;
        let digests = registry.put_models(self.models)?;
        for (outcome, digest) in outcomes.iter_mut().zip(digests) {
            outcome.digest_after = Some(digest);
        }
        drafts.keep(outcomes.iter().map(|outcome| {
            let blobs = outcome.digest_after.into_iter().collect();
            (outcome.before.to_string(), outcome, blobs)
        }))?;
        Ok(outcomes)
    }
}

/// Waits for edits that another thread stores.
pub(crate) fn stored(storing: ScopedJoinHandle<'_, Stored>) -> Stored {
    let gone = |_| EngineError::Internal("the thread that stores edits panicked".into());
    storing.join().map_err(gone)?
}
