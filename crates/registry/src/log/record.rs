//! What an operation did, typed: one record for each command that the log knows.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use umig::{ModelId, Request};

use crate::cards::row::CardRow;
use crate::digest::Digest;
use crate::erasures::step::{ErasureRecord, ErasureRun, ErasureStep};
use crate::error::RegistryError;
use crate::ids::{ErasureId, OperationId, RequestId};
use crate::log::loss::LossBound;
use crate::log::method_name::MethodName;
use crate::log::outcome::{ModelOutcome, RetiredModel};

/// The newest shape of details that this version reads. Details of the first shape carry no version;
/// a later one has it in its key `version`.
const VERSION: u64 = 1;

/// The shape of a request that retired models: what knows only the first one would take its models for
/// all that it touched.
const RETIRING: u64 = 2;

/// The key of what happened to each model of a request.
const MODELS: &str = "models";

/// What an operation did.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum OperationRecord {
    /// `add`: one model.
    Add(AddRecord),
    /// `import`: several models at once.
    Import(ImportRecord),
    /// `grow`: a model was trained by a recipe.
    Grow(GrowRecord),
    /// `fisher`: a FIM card was computed.
    Fisher(FisherRecord),
    /// `fisher import`: a FIM card that was computed elsewhere.
    FisherImport(FisherImportRecord),
    /// `unlearn`: a request was carried out.
    Unlearn(Box<UnlearnRecord>),
    /// `undo`: an operation was taken back.
    Undo(UndoRecord),
    /// `purge`: weights were deleted.
    Purge(PurgeRecord),
    /// `fsck`: what cannot be read any more was taken out.
    Fsck(FsckRecord),
    /// `request ...`: a step of an erasure request.
    Erasure(Box<ErasureRecord>),
    /// What this version does not know: a command, or a shape of details, of a later one.
    Unknown {
        /// The command.
        command: String,
        /// What it did, as it is stored.
        detail: Value,
    },
}

/// A model that was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddRecord {
    /// Its id.
    pub model: ModelId,
    /// The digest of its manifest.
    pub digest: Digest,
}

/// Models that were added together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportRecord {
    /// Their ids, parents before children.
    pub models: Vec<ModelId>,
}

/// A model that was trained by a recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GrowRecord {
    /// The recipe's name.
    pub recipe: String,
    /// The digest of all that decides about the model's weights.
    pub fingerprint: Digest,
    /// Its id.
    pub model: ModelId,
    /// The digest of its manifest.
    pub digest: Digest,
    /// Seconds of training.
    pub seconds: f64,
}

/// A FIM card that was computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FisherRecord {
    /// The model.
    pub model: ModelId,
    /// The estimator, in the words of the card's metadata.
    pub estimator: String,
    /// The layers that were asked for: `head`, `all`, or patterns with commas between them.
    #[serde(default)]
    pub layers: String,
    /// The largest number of samples that was asked for.
    #[serde(default)]
    pub samples: Option<usize>,
    /// The largest share of open selection decisions that was asked for.
    #[serde(default)]
    pub precision: Option<f64>,
}

/// A FIM card that was computed elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FisherImportRecord {
    /// The model.
    pub model: ModelId,
    /// The estimator, in the words of the card's metadata.
    pub estimator: String,
    /// What computed it.
    pub by: String,
}

/// A request that was carried out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnlearnRecord {
    /// The request's id.
    #[serde(default)]
    pub id: RequestId,
    /// What was asked.
    pub request: Request,
    /// The method.
    #[serde(default)]
    pub method: MethodName,
    /// What happened to each model.
    pub models: Vec<ModelOutcome>,
    /// The versions that were taken out of use without a successor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<RetiredModel>,
    /// What it was allowed to cost; nothing in entries from before there was a bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_bound: Option<LossBound>,
    /// What the user was warned of.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// The run of an erasure request that it ends, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erasure: Option<ErasureRun>,
}

impl UnlearnRecord {
    /// The versions that it took out of use: those that were replaced and those that were retired.
    pub fn replaced(&self) -> impl Iterator<Item = &ModelId> {
        let replaced = self.models.iter().map(|model| &model.before);
        replaced.chain(self.retired.iter().map(|gone| &gone.model))
    }

    /// All but what happened to each model.
    fn frame(&self) -> Self {
        Self {
            id: self.id.clone(),
            request: self.request.clone(),
            method: self.method.clone(),
            models: Vec::new(),
            retired: self.retired.clone(),
            loss_bound: self.loss_bound,
            warnings: self.warnings.clone(),
            erasure: self.erasure,
        }
    }

    /// The text of [`UnlearnRecord::detail`], model by model: a value of all of them would take many times their
    /// memory.
    fn text(&self) -> serde_json::Result<String> {
        let mut text = String::new();
        for (key, value) in self.frame().detail()?.as_object().into_iter().flatten() {
            text.push(if text.is_empty() { '{' } else { ',' });
            text.push_str(&serde_json::to_string(key)?);
            text.push(':');
            if key != MODELS {
                text.push_str(&value.to_string());
                continue;
            }
            text.push('[');
            for (at, model) in self.models.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                text.push_str(&serde_json::to_value(model)?.to_string());
            }
            text.push(']');
        }
        text.push('}');
        Ok(text)
    }

    fn detail(&self) -> serde_json::Result<Value> {
        let mut detail = serde_json::to_value(self)?;
        if !self.retired.is_empty() {
            detail["version"] = Value::from(RETIRING);
        }
        Ok(detail)
    }
}

/// An operation that was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoRecord {
    /// Its number.
    pub undoes: OperationId,
    /// The erasure request that it was published for, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erasure: Option<ErasureId>,
}

/// Weights that were deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeRecord {
    /// Why.
    pub reason: String,
    /// The versions with their digests.
    pub models: Vec<(ModelId, Digest)>,
    /// FIM cards that went with them.
    pub cards: usize,
    /// Objects that went.
    pub objects: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The erasure request whose weights they were, where they were deleted for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erasure: Option<ErasureId>,
}

/// What a repair took out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FsckRecord {
    /// FIM cards that could not be read.
    pub dropped_cards: Vec<CardRow>,
}

impl OperationRecord {
    /// The name of the command.
    pub fn command(&self) -> &str {
        match self {
            Self::Add(_) => "add",
            Self::Import(_) => "import",
            Self::Grow(_) => "grow",
            Self::Fisher(_) => "fisher",
            Self::FisherImport(_) => "fisher import",
            Self::Unlearn(_) => "unlearn",
            Self::Undo(_) => "undo",
            Self::Purge(_) => "purge",
            Self::Fsck(_) => "fsck",
            Self::Erasure(record) => record.step.command(),
            Self::Unknown { command, .. } => command,
        }
    }

    /// The detail as JSON: the keys of an object are sorted, and what is stored is its text.
    ///
    /// # Errors
    /// [`RegistryError::Document`] when it cannot be written as JSON.
    pub fn detail(&self) -> Result<Value, RegistryError> {
        let value = match self {
            Self::Add(record) => serde_json::to_value(record),
            Self::Import(record) => serde_json::to_value(record),
            Self::Grow(record) => serde_json::to_value(record),
            Self::Fisher(record) => serde_json::to_value(record),
            Self::FisherImport(record) => serde_json::to_value(record),
            Self::Unlearn(record) => record.detail(),
            Self::Undo(record) => serde_json::to_value(record),
            Self::Purge(record) => serde_json::to_value(record),
            Self::Fsck(record) => serde_json::to_value(record),
            Self::Erasure(record) => serde_json::to_value(record),
            Self::Unknown { detail, .. } => Ok(detail.clone()),
        };
        value.map_err(|error| unreadable(self.command(), &error))
    }

    /// The detail as it is stored.
    ///
    /// # Errors
    /// [`RegistryError::Document`] when it cannot be written as JSON.
    pub(crate) fn text(&self) -> Result<String, RegistryError> {
        match self {
            Self::Unlearn(record) => record
                .text()
                .map_err(|error| unreadable(self.command(), &error)),
            _ => Ok(self.detail()?.to_string()),
        }
    }

    /// Reads a record from what the log keeps of it.
    ///
    /// # Errors
    /// [`RegistryError::Document`] when the detail is no JSON, or lacks what the command's details
    /// have.
    pub fn from_stored(command: &str, detail: &str) -> Result<Self, RegistryError> {
        let detail: Value =
            serde_json::from_str(detail).map_err(|error| unreadable(command, &error))?;
        let version = detail.get("version").and_then(Value::as_u64);
        let newest = match command {
            "unlearn" => RETIRING,
            _ => VERSION,
        };
        if version.is_some_and(|version| version > newest) {
            let command = command.to_owned();
            return Ok(Self::Unknown { command, detail });
        }
        // The first versions logged the cards of several models in one entry.
        let first_fisher = command == "fisher" && detail.get("models").is_some();
        Ok(match command {
            "add" => Self::Add(read(command, detail)?),
            "import" => Self::Import(read(command, detail)?),
            "grow" => Self::Grow(read(command, detail)?),
            "fisher" if !first_fisher => Self::Fisher(read(command, detail)?),
            "fisher import" => Self::FisherImport(read(command, detail)?),
            "unlearn" => Self::Unlearn(Box::new(read(command, detail)?)),
            "undo" => Self::Undo(read(command, detail)?),
            "purge" => Self::Purge(read(command, detail)?),
            "fsck" => Self::Fsck(read(command, detail)?),
            step if ErasureStep::knows(step) => Self::Erasure(Box::new(read(command, detail)?)),
            _ => Self::Unknown {
                command: command.to_owned(),
                detail,
            },
        })
    }

    /// What it is about, in a few words: a model, several models, a request, an operation.
    pub fn subject(&self) -> Subject<'_> {
        match self {
            Self::Add(AddRecord { model, .. })
            | Self::Grow(GrowRecord { model, .. })
            | Self::Fisher(FisherRecord { model, .. })
            | Self::FisherImport(FisherImportRecord { model, .. }) => Subject::Model(model),
            Self::Unlearn(record) => Subject::Request(&record.id),
            Self::Undo(record) => Subject::Operation(record.undoes),
            Self::Purge(record) => Subject::Reason(&record.reason),
            Self::Erasure(record) => Subject::Erasure(record.request),
            Self::Import(_) | Self::Fsck(_) | Self::Unknown { .. } => Subject::None,
        }
    }
}

/// What an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// A model version.
    Model(&'a ModelId),
    /// A request.
    Request(&'a RequestId),
    /// An erasure request.
    Erasure(ErasureId),
    /// Another operation.
    Operation(OperationId),
    /// A reason in the user's words.
    Reason(&'a str),
    /// Nothing that can be said in a word.
    None,
}

fn read<T: DeserializeOwned>(command: &str, detail: Value) -> Result<T, RegistryError> {
    serde_json::from_value(detail).map_err(|error| unreadable(command, &error))
}

fn unreadable(command: &str, error: &serde_json::Error) -> RegistryError {
    RegistryError::Document {
        what: format!("log entry of `{command}`"),
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const A: &str = "0000000000000000000000000000000000000000000000000000000000000000";
    const B: &str = "1111111111111111111111111111111111111111111111111111111111111111";

    /// The texts that earlier versions wrote come back as they were, byte for byte.
    fn comes_back(command: &str, text: &str) -> OperationRecord {
        let text = text.replace("$A", A).replace("$B", B);
        let record = OperationRecord::from_stored(command, &text).unwrap();
        assert_eq!(record.command(), command);
        assert_eq!(record.detail().unwrap().to_string(), text);
        assert_eq!(record.text().unwrap(), text);
        record
    }

    #[test]
    fn models_that_were_added() {
        let add = comes_back("add", r#"{"digest":"$A","model":"base@1"}"#);
        assert!(matches!(add, OperationRecord::Add(_)));
        let import = comes_back("import", r#"{"models":["base@1","child@1"]}"#);
        assert!(matches!(import, OperationRecord::Import(r) if r.models.len() == 2));
        let grow = comes_back(
            "grow",
            r#"{"digest":"$A","fingerprint":"$B","model":"r1@1","recipe":"demo","seconds":1.25}"#,
        );
        assert!(matches!(grow, OperationRecord::Grow(r) if r.seconds == 1.25));
    }

    #[test]
    fn cards_that_were_made() {
        let text = r#"{"estimator":"empirical","layers":"head","model":"base@1","precision":null,"samples":null}"#;
        let fisher = comes_back("fisher", text);
        assert!(matches!(fisher, OperationRecord::Fisher(r) if r.layers == "head"));
        let text = r#"{"estimator":"batch:4","layers":"conv1.*,fc.*","model":"base@1","precision":0.05,"samples":200}"#;
        let fisher = comes_back("fisher", text);
        assert!(matches!(fisher, OperationRecord::Fisher(r) if r.samples == Some(200)));
        let text = r#"{"by":"disinherit 0.1.0","estimator":"empirical","model":"base@1"}"#;
        let import = comes_back("fisher import", text);
        assert!(matches!(import, OperationRecord::FisherImport(_)));
    }

    #[test]
    fn requests_that_were_carried_out() {
        let text = concat!(
            r#"{"id":"forget-cat-0a1b","method":"grad-ascent","models":[{"after":"r1@2","alpha":10.0,"#,
            r#""before":"r1@1","choice":null,"digest_after":"$B","digest_before":"$A","#,
            r#""initial":["r0@1"],"lambda":1.0,"role":"inherited","seconds":0.5,"stand_in":"r1@1","#,
            r#""tensors":{"fc.bias":{"changed":1,"factor_sum":0.5,"parameters":2,"selected":1}},"#,
            r#""unmatched":["dog"]}],"request":{"forget":{"classes":["cat"]},"from":["r0@1"]},"#,
            r#""warnings":["one"]}"#
        );
        let OperationRecord::Unlearn(record) = comes_back("unlearn", text) else {
            panic!("another record");
        };
        assert_eq!(record.method.as_str(), "grad-ascent");
        assert_eq!(record.id, *"forget-cat-0a1b");
        assert_eq!(
            record.models[0].fallback_card,
            Some("r1@1".parse().unwrap())
        );
        assert_eq!(record.models[0].selection().changed, 1);
        // Several models, or none, are written as the value of all is.
        let model = record.models[0].clone();
        for models in [vec![], vec![model.clone(), model]] {
            let record = UnlearnRecord {
                models,
                ..*record.clone()
            };
            let record = OperationRecord::Unlearn(Box::new(record));
            let value = record.detail().unwrap();
            assert_eq!(record.text().unwrap(), value.to_string());
        }
    }

    #[test]
    fn requests_that_retired_models() {
        let text = concat!(
            r#"{"id":"gone","loss_bound":{"accepted":0.05,"target":0.01},"method":"fiun","#,
            r#""models":[{"after":"r3@2","alpha":null,"before":"r3@1","choice":null,"digest_after":"$B","#,
            r#""digest_before":"$A","initial":["r2@1"],"lambda":null,"#,
            r#""loss":{"measured":{"gained":1,"lost":2,"on":"kept_apart","right":195,"samples":200}},"#,
            r#""role":"inherited","seconds":0.5,"stand_in":null,"tensors":{},"unmatched":[]}],"#,
            r#""request":{"forget":{"source":"clinic"},"from":[]},"#,
            r#""retired":[{"digest":"$A","model":"r2@1","role":"initial"}],"version":2,"warnings":[]}"#
        );
        let OperationRecord::Unlearn(record) = comes_back("unlearn", text) else {
            panic!("another record");
        };
        let replaced: Vec<String> = record.replaced().map(ToString::to_string).collect();
        assert_eq!(replaced, ["r3@1", "r2@1"]);
        let loss = record.models[0]
            .loss
            .and_then(|loss| loss.measured().copied());
        assert_eq!(loss.map(|loss| loss.loss()), Some(0.005));
        let later = OperationRecord::from_stored("unlearn", r#"{"version":3}"#).unwrap();
        assert!(matches!(later, OperationRecord::Unknown { .. }));
    }

    #[test]
    fn requests_of_the_first_versions_are_read() {
        let text = r#"{"id":"a","models":[],"request":{"forget":{"source":"clinic"}}}"#;
        let record = OperationRecord::from_stored("unlearn", text).unwrap();
        let OperationRecord::Unlearn(record) = record else {
            panic!("another record");
        };
        assert_eq!(record.method, MethodName::default());
        assert!(record.warnings.is_empty());
    }

    #[test]
    fn upkeep() {
        let undo = comes_back("undo", r#"{"undoes":3}"#);
        assert_eq!(undo.subject(), Subject::Operation(OperationId::new(3)));
        let text =
            r#"{"bytes":90,"cards":1,"models":[["base@1","$A"]],"objects":6,"reason":"request 7"}"#;
        let purge = comes_back("purge", text);
        assert_eq!(purge.subject(), Subject::Reason("request 7"));
        let text = r#"{"dropped_cards":[{"blob":"$B","estimator":"empirical","model":"$A"}]}"#;
        assert!(matches!(comes_back("fsck", text), OperationRecord::Fsck(_)));
    }

    #[test]
    fn what_is_not_known_stays_as_it_is() {
        let record = comes_back("distil", r#"{"into":"base@2","why":[1,2.5,null]}"#);
        assert!(matches!(record, OperationRecord::Unknown { .. }));
        let first = r#"{"estimator":"empirical","models":["a@1","b@1"],"samples":null}"#;
        assert!(matches!(
            comes_back("fisher", first),
            OperationRecord::Unknown { .. }
        ));
        let record = comes_back("undo", r#"{"undoes":[3,4],"version":2}"#);
        assert!(matches!(record, OperationRecord::Unknown { .. }));
        assert_eq!(record.subject(), Subject::None);
        for bad in ["{", "{}", r#"{"undoes":"three"}"#] {
            assert!(OperationRecord::from_stored("undo", bad).is_err(), "{bad}");
        }
    }
}
