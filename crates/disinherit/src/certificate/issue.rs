//! Issuing a certificate from the log, and comparing one with a registry.

use disinherit_registry::{ModelOutcome, Registry, check_chain, undone_by};

use super::document::sha256;
use super::envelope::Envelope;
use super::key::SecretKey;
use super::statement::{
    Certificate, CertifiedModel, LogPosition, PREDICATE, STATEMENT, Statement, subject,
};
use crate::error::EngineError;
use crate::evaluation::CertifiedVerdict;
use crate::request_log::{chosen, read_request};

/// Makes the certificate of a request.
///
/// `request` is the request's id, the number of its operation, or nothing for the last one.
///
/// # Errors
/// [`EngineError::Certificate`] when there is no such request, or the log has been tampered with; what
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
        return Err(EngineError::Certificate(format!(
            "no certificate over a log that has been tampered with: {problem}"
        )));
    }
    let row = chosen(&log, request)?;
    let past = read_request(row)?;
    let models = past
        .models
        .iter()
        .map(certified)
        .collect::<Result<Vec<_>, _>>()?;
    let last = log.last().unwrap_or(row);
    let statement = Statement {
        kind: STATEMENT.into(),
        subject: models
            .iter()
            .map(|model| subject(model, sha256_of(registry, model)))
            .collect(),
        predicate_type: PREDICATE.into(),
        predicate: Certificate {
            request: past.id.clone(),
            asked: past.request,
            actor: row.actor.clone(),
            time: row.time,
            method: past.method,
            models,
            retired: past.retired,
            loss_bound: past.loss_bound,
            warnings: past.warnings,
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

/// The SHA-256 digest of a version's manifest; nothing where it was purged.
fn sha256_of(registry: &Registry, model: &CertifiedModel) -> Option<String> {
    let manifest = registry.document(model.digest_after).ok()?;
    Some(sha256(&manifest))
}

fn certified(outcome: &ModelOutcome) -> Result<CertifiedModel, EngineError> {
    let digest_after = outcome.digest_after.ok_or_else(|| {
        EngineError::Certificate(format!("the log has no digest of `{}`", outcome.after))
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
        loss: outcome.loss,
    })
}

/// Compares a certificate with a registry: each thing that the registry does not have as the
/// certificate says.
///
/// # Errors
/// What the registry says.
pub fn compare(statement: &Statement, registry: &Registry) -> Result<Vec<String>, EngineError> {
    let log = registry.operations()?;
    let mut found = check_chain(&log);
    let certificate = &statement.predicate;
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
    for gone in &certificate.retired {
        let id = &gone.model;
        match registry.model(id)? {
            None => found.push(format!("`{id}` is not in the registry")),
            Some(row) if !row.vertex.superseded => {
                found.push(format!("`{id}`, which was retired, is in use again"));
            }
            Some(_) => {}
        }
    }
    Ok(found)
}
