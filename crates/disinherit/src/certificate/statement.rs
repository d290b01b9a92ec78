//! What a certificate says.

use std::collections::BTreeMap;

use disinherit_registry::{
    Digest, LossBound, LossCheck, MethodName, OperationId, RequestId, RetiredModel,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use umig::{ModelId, Request, Role};

use crate::error::EngineError;
use crate::evaluation::CertifiedVerdict;

pub(super) const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// The kind of statement that a certificate makes.
pub const PREDICATE: &str = "urn:disinherit:certificate:1";

/// The name of the digest algorithm in a statement.
pub(super) const ALGORITHM: &str = "blake3";

/// What is signed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    #[serde(rename = "_type")]
    pub(super) kind: String,
    /// The new versions.
    pub subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    pub(super) predicate_type: String,
    /// What was done.
    pub predicate: Certificate,
}

/// A new version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// Its id.
    pub name: String,
    /// Its digest, by algorithm.
    pub digest: BTreeMap<String, String>,
}

/// What was asked, what was done, and where the log has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// The request's id.
    pub request: RequestId,
    /// What was asked, of whom.
    pub asked: Request,
    /// Who ran it.
    pub actor: String,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub time: u64,
    /// The method.
    pub method: MethodName,
    /// Every version that was touched and what replaced it.
    pub models: Vec<CertifiedModel>,
    /// Every version that was taken out of use, and that nothing replaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<RetiredModel>,
    /// What every model was allowed to lose in accuracy on the retained data; nothing in certificates of
    /// requests from before there was a bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_bound: Option<LossBound>,
    /// What the user was warned of.
    pub warnings: Vec<String>,
    /// How well the new versions have forgotten, where data was at hand.
    pub verdicts: Vec<CertifiedVerdict>,
    /// Where the log has it.
    pub log: LogPosition,
    /// What issued the certificate.
    pub tool: String,
    /// When it was issued, in milliseconds since 1970-01-01 UTC.
    pub issued: u64,
}

/// One version that was touched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CertifiedModel {
    /// The version before.
    pub before: ModelId,
    /// The version that replaces it.
    pub after: ModelId,
    /// The digest before.
    pub digest_before: Digest,
    /// The digest after.
    pub digest_after: Digest,
    /// Its part in the request.
    pub role: Role,
    /// Alpha, lambda and logit suppression (`lowering`), where the method has them.
    pub parameters: Value,
    /// Parameters that changed.
    pub changed: u64,
    /// What that cost in accuracy on the retained data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<LossCheck>,
}

/// A place in the operation log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPosition {
    /// The request's operation.
    pub operation: OperationId,
    /// Its hash.
    pub hash: String,
    /// The last operation when the certificate was issued: what is missing up to there has been
    /// taken out since.
    pub last: OperationId,
    /// Its hash.
    pub last_hash: String,
}

/// A version as the subject of a statement: by its BLAKE3 digest, and by the SHA-256 digest of its manifest where
/// that is at hand, since few other tools know BLAKE3.
pub(super) fn subject(model: &CertifiedModel, sha256: Option<String>) -> Subject {
    let digest = (ALGORITHM.to_owned(), model.digest_after.to_string());
    let other = sha256.map(|digest| ("sha256".to_owned(), digest));
    Subject {
        name: model.after.to_string(),
        digest: [digest].into_iter().chain(other).collect(),
    }
}

impl Subject {
    fn is(&self, model: &CertifiedModel) -> bool {
        let digest = self.digest.get(ALGORITHM);
        self.name == model.after.to_string()
            && digest.is_some_and(|digest| *digest == model.digest_after.to_string())
    }
}

impl Statement {
    /// Refuses a statement of another kind, or one that contradicts itself.
    pub(super) fn check(&self) -> Result<(), EngineError> {
        let refuse = |reason: &str| {
            Err(EngineError::Certificate(format!(
                "the certificate cannot be used: {reason}"
            )))
        };
        if self.kind != STATEMENT || self.predicate_type != PREDICATE {
            return refuse("it is a statement of another kind");
        }
        let models = &self.predicate.models;
        let mut pairs = self.subject.iter().zip(models);
        if self.subject.len() != models.len() || !pairs.all(|(subject, model)| subject.is(model)) {
            return refuse("its subjects are not the versions that it speaks of");
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A certificate of nothing.
    pub(in crate::certificate) fn statement() -> Statement {
        Statement {
            kind: STATEMENT.into(),
            subject: Vec::new(),
            predicate_type: PREDICATE.into(),
            predicate: Certificate {
                request: "request-1".into(),
                asked: Request::new(umig::Forget::classes(["cat"])),
                actor: "somebody".into(),
                time: 7,
                method: MethodName::default(),
                models: Vec::new(),
                retired: Vec::new(),
                loss_bound: None,
                warnings: vec!["none".into()],
                verdicts: Vec::new(),
                log: LogPosition {
                    operation: OperationId::new(1),
                    hash: "00".into(),
                    last: OperationId::new(1),
                    last_hash: "00".into(),
                },
                tool: "test".into(),
                issued: 8,
            },
        }
    }
}
