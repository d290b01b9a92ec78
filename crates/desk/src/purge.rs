//! Purging: deleting what remembers, as the last thing that a request does.

use disinherit::registry::{
    ErasureId, ErasureRequest, ErasureStep, Purge, Purged, State, StepKind,
};
use disinherit::umig::ModelId;

use crate::desk::Desk;
use crate::error::DeskError;

impl Desk<'_> {
    /// Deletes for good what the versions remember that a request replaced or retired. Where all of them
    /// were purged already, one by one or by the retention policy, that is put on record. With `dry_run`
    /// nothing happens.
    ///
    /// # Errors
    /// [`DeskError`] when the request is not at that point, or another process writes.
    pub fn purge(
        &self,
        id: ErasureId,
        reason: Option<String>,
        dry_run: bool,
    ) -> Result<Option<Purged>, DeskError> {
        let registry = self.registry();
        let erasure = registry.erasure(id)?;
        erasure.check(StepKind::Purge)?;
        let models = self.remembering(&erasure)?;
        if models.is_empty() {
            if !dry_run {
                registry.step_erasure(id, ErasureStep::Purge, None)?;
            }
            return Ok(None);
        }
        let purged = registry.purge(&Purge {
            models,
            reason: reason.unwrap_or_else(|| format!("request {id}")),
            erasure: Some(id),
            dry_run,
        })?;
        Ok(Some(purged))
    }

    /// The versions that a request replaced or retired and that are not purged.
    fn remembering(&self, erasure: &ErasureRequest) -> Result<Vec<ModelId>, DeskError> {
        let mut models = Vec::new();
        for (_, record) in self.published_for(erasure)? {
            for id in record.replaced() {
                let row = self.registry().model(id)?;
                let kept = row.is_some_and(|row| row.state() == State::Superseded);
                if kept && !models.contains(id) {
                    models.push(id.clone());
                }
            }
        }
        Ok(models)
    }
}
