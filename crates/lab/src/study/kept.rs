//! A folder that keeps what a study has finished, so that one that was stopped goes on there.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use disinherit::EngineError;
use disinherit::evaluation::LogOdds;
use disinherit::model::{to_state, to_tensors};
use disinherit_formats::{FormatError, read_checkpoint, write_checkpoint, write_file};
use disinherit_nets::StateDict;
use serde::Serialize;
use serde::de::DeserializeOwned;
use umig::ModelId;

use crate::error::LabError;
use crate::variant::Variant;

/// How certain each touched model is of its samples.
pub(super) type Said = BTreeMap<ModelId, LogOdds>;

/// The folder, where there is one.
pub(super) struct Kept(pub(super) Option<PathBuf>);

impl Kept {
    /// A finished part, if it is there.
    pub(super) fn get<T: DeserializeOwned>(&self, file: &str) -> Result<Option<T>, LabError> {
        let Some(folder) = &self.0 else {
            return Ok(None);
        };
        let path = folder.join(file);
        match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FormatError::io("read", &path)(error).into()),
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
                LabError::Foreign(format!(
                    "{} is of another version or damaged ({error}); remove it to measure again",
                    path.display()
                ))
            }),
        }
    }

    /// Keeps a finished part.
    pub(super) fn put<T: Serialize>(&self, file: &str, value: &T) -> Result<(), LabError> {
        if let Some(folder) = &self.0 {
            let bytes = serde_json::to_vec_pretty(value).map_err(EngineError::json("result"))?;
            write_file(&folder.join(file), &bytes)?;
        }
        Ok(())
    }

    /// How certain models are of their samples as a method left them, or without one, if it is there.
    pub(super) fn said(&self, variant: Option<Variant>) -> Result<Option<Said>, LabError> {
        self.get(&said_file(variant))
    }

    /// Keeps how certain models are of their samples.
    pub(super) fn put_said(&self, variant: Option<Variant>, said: &Said) -> Result<(), LabError> {
        self.put(&said_file(variant), said)
    }

    /// Keeps the retrained models.
    pub(super) fn put_states(&self, states: &BTreeMap<ModelId, StateDict>) -> Result<(), LabError> {
        if let Some(folder) = &self.0 {
            for (id, state) in states {
                let path = folder.join(file_of(id));
                write_checkpoint(&path, &to_tensors(state), HashMap::new())?;
            }
        }
        Ok(())
    }

    /// The retrained models, if all are there.
    pub(super) fn states<'a>(
        &self,
        ids: impl IntoIterator<Item = &'a ModelId>,
    ) -> Result<Option<BTreeMap<ModelId, StateDict>>, LabError> {
        let Some(folder) = &self.0 else {
            return Ok(None);
        };
        let mut states = BTreeMap::new();
        for id in ids {
            let path = folder.join(file_of(id));
            if !path.exists() {
                return Ok(None);
            }
            states.insert(id.clone(), to_state(&read_checkpoint(&path)?));
        }
        Ok(Some(states))
    }
}

fn said_file(variant: Option<Variant>) -> String {
    match variant {
        Some(variant) => format!("log-odds-{variant}.json"),
        None => "log-odds-before.json".to_owned(),
    }
}

fn file_of(id: &ModelId) -> String {
    format!("retrained-{}.safetensors", id.name().replace('/', "_"))
}
