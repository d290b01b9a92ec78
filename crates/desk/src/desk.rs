//! The desk itself.

use disinherit::Engine;
use disinherit::registry::{
    ErasureId, ErasureRequest, OperationId, OperationRecord, Registry, RegistryError, UnlearnRecord,
};

use crate::error::DeskError;

/// Takes the steps of erasure requests that need the engine: its registry, its data where there is some.
#[derive(Clone, Copy)]
pub struct Desk<'a> {
    pub(crate) engine: &'a Engine<'a>,
}

impl<'a> Desk<'a> {
    /// The desk over an engine.
    pub fn new(engine: &'a Engine<'a>) -> Self {
        Self { engine }
    }

    /// The registry whose requests it takes on.
    pub fn registry(&self) -> &'a Registry {
        self.engine.registry()
    }

    /// What was published for a request, oldest first: what was undone is not among it.
    ///
    /// # Errors
    /// [`DeskError`] when there is no such request, or the log cannot be read.
    pub fn published(
        &self,
        request: ErasureId,
    ) -> Result<Vec<(OperationId, UnlearnRecord)>, DeskError> {
        self.published_for(&self.registry().erasure(request)?)
    }

    pub(crate) fn published_for(
        &self,
        erasure: &ErasureRequest,
    ) -> Result<Vec<(OperationId, UnlearnRecord)>, DeskError> {
        let mut records = Vec::new();
        for row in self.registry().erasure_history(erasure.id)? {
            if !erasure.published.contains(&row.id) {
                continue;
            }
            if let OperationRecord::Unlearn(record) = row.record()? {
                records.push((row.id, *record));
            }
        }
        Ok(records)
    }
}

/// The time, in milliseconds since 1970-01-01 UTC.
pub(crate) fn now() -> u64 {
    disinherit::model::now()
}

/// A document of a request that cannot be read or written.
pub(crate) fn document(what: &str) -> impl FnOnce(serde_json::Error) -> DeskError {
    let what = what.to_owned();
    move |error| {
        DeskError::from(RegistryError::Document {
            what,
            reason: error.to_string(),
        })
    }
}
