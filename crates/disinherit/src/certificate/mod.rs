//! Certificates: what a request did, signed, so that it can be checked without the registry.
//!
//! A certificate is an in-toto statement (<https://in-toto.io/Statement/v1>) over the new versions'
//! digests, in a DSSE envelope (<https://github.com/secure-systems-lab/dsse>) signed with Ed25519.

mod envelope;
mod key;

use std::collections::BTreeMap;

use disinherit_registry::{Digest, Registry, check_chain, undone_by};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use umig::{ModelId, Request, Role};

pub use self::envelope::Envelope;
pub use self::key::{PublicKey, SecretKey};
use crate::revisit::{chosen, read_request};
use crate::{EngineError, Method, ModelOutcome, Scores};

const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// The kind of statement that a certificate makes.
pub const PREDICATE: &str = "urn:disinherit:certificate:1";

/// The name of the digest algorithm in a statement.
const ALGORITHM: &str = "blake3";

/// What is signed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    /// The new versions.
    pub subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
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
    pub request: String,
    /// What was asked, of whom.
    pub asked: Request,
    /// Who ran it.
    pub actor: String,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub time: u64,
    /// The method.
    pub method: Method,
    /// Every version that was touched and what replaced it.
    pub models: Vec<CertifiedModel>,
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
    /// Alpha, lambda and lowering, where the method has them.
    pub parameters: Value,
    /// Parameters that changed.
    pub changed: u64,
}

/// How well one version has forgotten.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CertifiedVerdict {
    /// The version.
    pub model: ModelId,
    /// Accuracy on what is forgotten and what is retained.
    pub scores: Scores,
    /// The largest accuracy on forgotten held-out data that passes.
    pub at_most: f64,
    /// Whether it passes; nothing where there was nothing to measure.
    pub passed: Option<bool>,
}

/// A place in the operation log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPosition {
    /// The request's operation.
    pub operation: i64,
    /// Its hash.
    pub hash: String,
    /// The last operation when the certificate was issued: what is missing up to there has been
    /// taken out since.
    pub last: i64,
    /// Its hash.
    pub last_hash: String,
}

/// Makes the certificate of a request.
///
/// `request` is the request's id, the number of its operation, or nothing for the last one.
///
/// # Errors
/// [`EngineError::Refused`] when there is no such request, or the log has been tampered with; what
/// the registry says.
pub fn certify(
    registry: &Registry,
    request: Option<&str>,
    verdicts: Vec<CertifiedVerdict>,
    key: &SecretKey,
    time: u64,
) -> Result<Envelope, EngineError> {
    let log = registry.operations()?;
    if let Some(problem) = check_chain(&log).into_iter().next() {
        return Err(EngineError::Refused(format!(
            "no certificate over a log that has been tampered with: {problem}"
        )));
    }
    let row = chosen(&log, request)?;
    let (asked, method, outcomes) = read_request(row)?;
    let models = outcomes
        .iter()
        .map(certified)
        .collect::<Result<Vec<_>, _>>()?;
    let detail = &row.operation.detail;
    let last = log.last().unwrap_or(row);
    let statement = Statement {
        kind: STATEMENT.into(),
        subject: models.iter().map(subject).collect(),
        predicate_type: PREDICATE.into(),
        predicate: Certificate {
            request: detail["id"].as_str().unwrap_or_default().to_owned(),
            asked,
            actor: row.actor.clone(),
            time: row.operation.time,
            method,
            models,
            warnings: serde_json::from_value(detail["warnings"].clone()).unwrap_or_default(),
            verdicts,
            log: LogPosition {
                operation: row.id,
                hash: row.hash.clone(),
                last: last.id,
                last_hash: last.hash.clone(),
            },
            tool: format!("disinherit {}", env!("CARGO_PKG_VERSION")),
            issued: time,
        },
    };
    Envelope::sign(&statement, key)
}

fn subject(model: &CertifiedModel) -> Subject {
    let digest = (ALGORITHM.to_owned(), model.digest_after.to_string());
    Subject {
        name: model.after.to_string(),
        digest: [digest].into(),
    }
}

fn certified(outcome: &ModelOutcome) -> Result<CertifiedModel, EngineError> {
    let digest_after = outcome.digest_after.ok_or_else(|| {
        EngineError::Refused(format!("the log has no digest of `{}`", outcome.after))
    })?;
    Ok(CertifiedModel {
        before: outcome.before.clone(),
        after: outcome.after.clone(),
        digest_before: outcome.digest_before,
        digest_after,
        role: outcome.role,
        parameters: serde_json::json!({
            "alpha": outcome.alpha,
            "lambda": outcome.lambda,
            "lowering": outcome.choice.as_ref().and_then(|choice| choice.suppression.as_ref()),
        }),
        changed: outcome.selection().changed,
    })
}

impl Statement {
    /// Refuses a statement of another kind, or one that contradicts itself.
    fn check(&self) -> Result<(), EngineError> {
        let refuse = |reason: &str| {
            Err(EngineError::Refused(format!(
                "the certificate cannot be used: {reason}"
            )))
        };
        if self.kind != STATEMENT || self.predicate_type != PREDICATE {
            return refuse("it is a statement of another kind");
        }
        let subjects: Vec<Subject> = self.predicate.models.iter().map(subject).collect();
        if subjects != self.subject {
            return refuse("its subjects are not the versions that it speaks of");
        }
        Ok(())
    }

    /// Compares a certificate with a registry: each thing that the registry does not have as the
    /// certificate says.
    ///
    /// # Errors
    /// What the registry says.
    pub fn compare(&self, registry: &Registry) -> Result<Vec<String>, EngineError> {
        let log = registry.operations()?;
        let mut found = check_chain(&log);
        let certificate = &self.predicate;
        let position = &certificate.log;
        for (number, hash) in [
            (position.operation, &position.hash),
            (position.last, &position.last_hash),
        ] {
            match log.iter().find(|row| row.id == number) {
                None => found.push(format!("the log lacks operation {number}")),
                Some(row) if row.hash != *hash => found.push(format!(
                    "operation {number} of the log is not the one that was certified"
                )),
                Some(_) => {}
            }
        }
        found.dedup();
        let undone = undone_by(&log, position.operation);
        found.extend(undone.map(|by| format!("the request was undone, by operation {by}")));
        for model in &certificate.models {
            let row = registry.model(&model.after)?;
            match row {
                None => found.push(format!("`{}` is not in the registry", model.after)),
                Some(row) if row.manifest != model.digest_after => found.push(format!(
                    "`{}` has another digest than the certificate says",
                    model.after
                )),
                Some(_) => {}
            }
        }
        Ok(found)
    }
}
