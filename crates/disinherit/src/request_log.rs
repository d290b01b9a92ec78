//! Finished requests, as the log has them.

use disinherit_registry::{OperationRow, Registry, undone_by};
use umig::Request;

use crate::error::{EngineError, nearest};
use crate::method::MethodName;
use crate::outcome::ModelOutcome;

/// A request that was executed, as the log has it.
#[derive(Debug, Clone, PartialEq)]
pub struct PastRequest {
    /// Its id.
    pub request: String,
    /// What was asked, of which models.
    pub asked: Request,
    /// By which method.
    pub method: MethodName,
    /// What happened to each model.
    pub models: Vec<ModelOutcome>,
    /// What the user was told.
    pub warnings: Vec<String>,
}

impl PastRequest {
    /// Reads an entry of the log.
    pub(crate) fn read(row: &OperationRow) -> Result<Self, EngineError> {
        let detail = &row.operation.detail;
        let read = |what: &str, error: serde_json::Error| {
            EngineError::Document(format!("the log's {what} cannot be read: {error}"))
        };
        Ok(Self {
            request: detail["id"].as_str().unwrap_or_default().to_owned(),
            asked: serde_json::from_value(detail["request"].clone())
                .map_err(|e| read("request", e))?,
            method: serde_json::from_value(detail["method"].clone()).unwrap_or_default(),
            models: serde_json::from_value(detail["models"].clone())
                .map_err(|e| read("models", e))?,
            warnings: serde_json::from_value(detail["warnings"].clone()).unwrap_or_default(),
        })
    }
}

/// A request in the log. The last one that was not undone when none is named by its id or the number
/// of its operation.
///
/// # Errors
/// [`EngineError::UnknownRequest`], [`EngineError::NothingUnlearned`], or what the registry says.
pub fn past_request(
    registry: &Registry,
    request: Option<&str>,
) -> Result<PastRequest, EngineError> {
    let operations = registry.operations()?;
    PastRequest::read(chosen(&operations, request)?)
}

/// The entry of a request.
pub(crate) fn chosen<'a>(
    operations: &'a [OperationRow],
    request: Option<&str>,
) -> Result<&'a OperationRow, EngineError> {
    let mut unlearned = operations
        .iter()
        .rev()
        .filter(|row| row.operation.command == "unlearn");
    let id = |row: &'a OperationRow| row.operation.detail["id"].as_str().unwrap_or_default();
    let Some(wanted) = request else {
        return unlearned
            .find(|row| undone_by(operations, row.id).is_none())
            .ok_or(EngineError::NothingUnlearned);
    };
    let known: Vec<&str> = unlearned.clone().map(id).collect();
    unlearned
        .find(|row| id(row) == wanted || row.id.to_string() == wanted)
        .ok_or_else(|| EngineError::UnknownRequest {
            name: wanted.to_owned(),
            near: nearest(wanted, known).map(str::to_owned),
        })
}
