//! Entries of the operation log.

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use umig::ModelId;

use crate::cards::row::CardRow;
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::ids::OperationId;
use crate::log::record::OperationRecord;

/// What was done, for the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// When, in milliseconds since 1970-01-01 UTC.
    pub time: u64,
    /// What.
    pub record: OperationRecord,
}

impl Operation {
    /// Something that was done at a time.
    pub fn new(time: u64, record: OperationRecord) -> Self {
        Self { time, record }
    }
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
#[derive(Debug, Clone, PartialEq)]
pub struct OperationRow {
    /// Its number.
    pub id: OperationId,
    /// Who did it.
    pub actor: String,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub time: u64,
    /// The command.
    pub command: String,
    /// What it changed in the catalog.
    pub made: Made,
    /// The hash of the entry before; empty for the first.
    pub previous: String,
    /// The hash over this entry and the one before.
    pub hash: String,
    /// The detail and the changes as they are stored, which is what the hash is over.
    pub(crate) stored: Stored,
}

/// The texts of an entry as they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) detail: String,
    pub(crate) made: String,
}

impl OperationRow {
    /// An entry that follows another one.
    pub(crate) fn after(
        previous: Option<(OperationId, String)>,
        actor: &str,
        operation: &Operation,
        made: Made,
    ) -> Result<Self, RegistryError> {
        let (last, previous) = previous.unwrap_or_default();
        let stored = Stored {
            detail: operation.record.text()?,
            made: text(&made)?,
        };
        let mut row = Self {
            id: last.next(),
            actor: actor.to_owned(),
            time: operation.time,
            command: operation.record.command().to_owned(),
            made,
            previous,
            hash: String::new(),
            stored,
        };
        row.hash = row.expected_hash();
        Ok(row)
    }

    /// What it did, read from its stored text.
    ///
    /// # Errors
    /// [`RegistryError::Document`] when the text is not what entries of this command are.
    pub fn record(&self) -> Result<OperationRecord, RegistryError> {
        OperationRecord::from_stored(&self.command, &self.stored.detail)
    }

    /// Its stored text as JSON, for showing it.
    ///
    /// # Errors
    /// [`RegistryError::Document`] when it is no JSON.
    pub fn detail(&self) -> Result<Value, RegistryError> {
        serde_json::from_str(&self.stored.detail).map_err(|error| RegistryError::Document {
            what: format!("operation {}", self.id),
            reason: error.to_string(),
        })
    }

    /// The hash that this entry must have.
    pub fn expected_hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        // Piece by piece: the texts of a large request are long.
        let digest = match serde_json::to_writer(&mut hasher, &self.hashed()) {
            Ok(()) => Digest::from_hasher(&hasher),
            Err(_) => Digest::from_content(self.hashed_text().as_bytes()),
        };
        digest.to_string()
    }

    /// The text that the hash is over: a JSON array of strings and numbers, so that no two entries have the
    /// same. The second one is the hash of the entry before.
    pub fn hashed_text(&self) -> String {
        serde_json::json!(self.hashed()).to_string()
    }

    fn hashed(&self) -> impl Serialize {
        (
            "disinherit operation 1",
            &self.previous,
            self.id,
            self.time,
            &self.actor,
            &self.command,
            &self.stored.detail,
            &self.stored.made,
        )
    }
}

fn text(value: &impl Serialize) -> Result<String, RegistryError> {
    serde_json::to_string(value).map_err(|error| RegistryError::Document {
        what: "operation".into(),
        reason: error.to_string(),
    })
}

/// With the detail as JSON in it.
impl Serialize for OperationRow {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Row<'a> {
            id: OperationId,
            actor: &'a str,
            time: u64,
            command: &'a str,
            detail: Value,
            made: &'a Made,
            previous: &'a str,
            hash: &'a str,
        }
        let row = Row {
            id: self.id,
            actor: &self.actor,
            time: self.time,
            command: &self.command,
            detail: self.detail().map_err(serde::ser::Error::custom)?,
            made: &self.made,
            previous: &self.previous,
            hash: &self.hash,
        };
        row.serialize(to)
    }
}
