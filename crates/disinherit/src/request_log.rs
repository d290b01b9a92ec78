//! Finished requests, as the log has them.

use disinherit_registry::{OperationRecord, OperationRow, Registry, UnlearnRecord, undone_by};

use crate::error::{EngineError, nearest};

/// A request in the log. The last one that was not undone when none is named by its id or the number
/// of its operation.
///
/// # Errors
/// [`EngineError::UnknownRequest`], [`EngineError::NothingUnlearned`], or what the registry says.
pub fn past_request(
    registry: &Registry,
    request: Option<&str>,
) -> Result<UnlearnRecord, EngineError> {
    let operations = registry.operations()?;
    read_request(chosen(&operations, request)?)
}

/// What an entry says of a request.
pub(crate) fn read_request(row: &OperationRow) -> Result<UnlearnRecord, EngineError> {
    match row.record()? {
        OperationRecord::Unlearn(record) => Ok(*record),
        _ => Err(EngineError::Document(format!(
            "operation {} is no request",
            row.id
        ))),
    }
}

/// The entry of a request.
pub(crate) fn chosen<'a>(
    operations: &'a [OperationRow],
    request: Option<&str>,
) -> Result<&'a OperationRow, EngineError> {
    let mut unlearned = operations
        .iter()
        .rev()
        .filter(|row| row.command == "unlearn");
    let id = |row: &OperationRow| match row.record() {
        Ok(OperationRecord::Unlearn(record)) => record.id.to_string(),
        _ => String::new(),
    };
    let Some(wanted) = request else {
        return unlearned
            .find(|row| undone_by(operations, row.id).is_none())
            .ok_or(EngineError::NothingUnlearned);
    };
    let known: Vec<String> = unlearned.clone().map(id).collect();
    unlearned
        .find(|row| id(row) == wanted || row.id.to_string() == wanted)
        .ok_or_else(|| EngineError::UnknownRequest {
            name: wanted.to_owned(),
            near: nearest(wanted, known.iter().map(String::as_str)).map(str::to_owned),
        })
}
