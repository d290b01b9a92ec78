//! The operation log: entries that are chained by their hashes, so that one that was altered or
//! taken out is found.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use umig::ModelId;

use crate::catalog::CardRow;
use crate::digest::Digest;
use crate::error::RegistryError;

/// What was done, for the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// When, in milliseconds since 1970-01-01 UTC.
    pub time: u64,
    /// The command.
    pub command: String,
    /// What it did.
    pub detail: Value,
}

/// What an operation changed in the catalog.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Made {
    /// New versions with their digests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<(ModelId, Digest)>,
    /// Versions that were replaced.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub superseded: Vec<ModelId>,
    /// New FIM cards.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cards: Vec<CardRow>,
    /// Versions that became current again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restored: Vec<ModelId>,
    /// Versions that were taken out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<ModelId>,
    /// Versions whose weights were deleted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub purged: Vec<ModelId>,
}

/// An operation with its place in the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperationRow {
    /// Its number, ascending from 1 without gaps.
    pub id: i64,
    /// Who did it.
    pub actor: String,
    /// What was done.
    #[serde(flatten)]
    pub operation: Operation,
    /// What it changed in the catalog.
    pub made: Made,
    /// The hash of the entry before; empty for the first.
    pub previous: String,
    /// The hash over this entry and the one before.
    pub hash: String,
    /// The detail and the changes as they are stored, which is what the hash is over.
    #[serde(skip)]
    pub(crate) stored: [String; 2],
}

impl OperationRow {
    /// An entry that follows another one.
    pub(crate) fn after(
        previous: Option<(i64, String)>,
        actor: &str,
        operation: Operation,
        made: Made,
    ) -> Result<Self, RegistryError> {
        let text = |value: serde_json::Result<String>| {
            value.map_err(|error| RegistryError::Document {
                what: "operation".into(),
                reason: error.to_string(),
            })
        };
        let (last, previous) = previous.unwrap_or_default();
        let mut row = Self {
            id: last + 1,
            actor: actor.to_owned(),
            stored: [
                text(serde_json::to_string(&operation.detail))?,
                text(serde_json::to_string(&made))?,
            ],
            operation,
            made,
            previous,
            hash: String::new(),
        };
        row.hash = row.expected_hash();
        Ok(row)
    }

    /// The hash that this entry must have.
    pub fn expected_hash(&self) -> String {
        let [detail, made] = &self.stored;
        let Operation { time, command, .. } = &self.operation;
        // An array of JSON strings and numbers: no two entries have the same text.
        let text = serde_json::json!([
            "disinherit operation 1",
            self.previous,
            self.id,
            time,
            self.actor,
            command,
            detail,
            made,
        ]);
        Digest::of(text.to_string().as_bytes()).to_string()
    }
}

/// Looks for entries that were altered, taken out or put in: each with what is wrong with it.
pub fn check_chain(rows: &[OperationRow]) -> Vec<String> {
    let mut found = Vec::new();
    let (mut number, mut hash) = (0, "");
    for row in rows {
        if row.id != number + 1 {
            found.push(format!(
                "the log goes from operation {number} to {}: entries have been taken out",
                row.id
            ));
        } else if row.previous != hash {
            found.push(format!(
                "operation {} does not follow from the one before: that one is not what it was",
                row.id
            ));
        }
        if row.hash != row.expected_hash() {
            found.push(format!(
                "operation {} (`{}`) has been altered: its hash is another",
                row.id, row.operation.command
            ));
        }
        (number, hash) = (row.id, &row.hash);
    }
    found
}
