//! Certifying: what a request did, signed.

use disinherit::certificate::{self, Envelope, SecretKey};
use disinherit::registry::{ErasureId, ErasureRequest, ErasureStep, StepKind};

use crate::desk::{Desk, now};
use crate::error::DeskError;

impl Desk<'_> {
    /// Signs the certificate of a request, with the verdicts that are on record, and keeps it in the registry.
    ///
    /// # Errors
    /// [`DeskError`] when the request is not at that point, or the log has been tampered with.
    pub fn certify(
        &self,
        id: ErasureId,
        key: &SecretKey,
    ) -> Result<(ErasureRequest, Envelope), DeskError> {
        let registry = self.registry();
        let erasure = registry.erasure(id)?;
        erasure.check(StepKind::Certify)?;
        let verdicts = match &erasure.verdict {
            Some(verdict) => self.verdicts(verdict)?,
            None => Vec::new(),
        };
        let last = erasure.published.last().map(ToString::to_string);
        let envelope = certificate::certify(registry, last.as_deref(), verdicts, key, now())?;
        let text = format!("{}\n", envelope.to_json()?);
        let step = ErasureStep::Certify {
            certificate: registry.put_document(text.into_bytes())?,
            key: key.public().id(),
            public_key: Some(key.public().to_pem()?),
        };
        let seen = Some(erasure.last.operation);
        Ok((registry.step_erasure(id, step, seen)?, envelope))
    }

    /// The certificate of a request, as it was written; nothing where it has none.
    ///
    /// # Errors
    /// [`DeskError`] when it cannot be read.
    pub fn certificate(&self, erasure: &ErasureRequest) -> Result<Option<Vec<u8>>, DeskError> {
        let read = |digest| self.registry().document(digest);
        Ok(erasure.certificate.map(read).transpose()?)
    }
}
