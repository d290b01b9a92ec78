//! Models of a recipe that another program trained: the folder that they are in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use disinherit::EngineError;
use disinherit::model::to_state;
use disinherit_formats::{FormatError, read_checkpoint};
use disinherit_nets::{Architecture, StateDict};
use serde::Deserialize;

use crate::error::LabError;
use crate::recipe::Recipe;

/// How long it took, and where.
const TRAINED: &str = "trained.json";

/// What the program says of its work.
#[derive(Debug, Default, Deserialize)]
struct Told {
    /// The device and the program.
    #[serde(default)]
    device: String,
    /// Seconds, checkpoint by checkpoint.
    #[serde(default)]
    seconds: BTreeMap<String, f64>,
}

/// The name of a retrained model's checkpoint.
pub(crate) fn retrained(name: &str) -> String {
    format!("retrained-{name}")
}

/// The folder of one seed.
pub(crate) fn place(folder: &Path, seed: u64) -> PathBuf {
    folder.join(format!("seed-{seed}"))
}

/// A checkpoint in such a folder.
pub(crate) fn checkpoint(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{}.safetensors", name.replace('/', "_")))
}

/// Models that were trained elsewhere, of one seed.
#[derive(Debug, Clone)]
pub(crate) struct Elsewhere(PathBuf);

impl Elsewhere {
    /// Those of a recipe, where it has any.
    pub(crate) fn for_recipe(recipe: &Recipe) -> Option<Self> {
        let folder = recipe.trained.as_deref()?;
        Some(Self(place(folder, recipe.seed)))
    }

    /// Where the checkpoint of that name is.
    pub(crate) fn checkpoint(&self, name: &str) -> PathBuf {
        checkpoint(&self.0, name)
    }

    fn told(&self) -> Result<Told, LabError> {
        let path = self.0.join(TRAINED);
        match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Told::default()),
            Err(error) => Err(FormatError::io("read", &path)(error).into()),
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                LabError::Foreign(format!("{} cannot be read: {error}", path.display()))
            }),
        }
    }

    /// On what it was done, in words.
    pub(crate) fn device(&self) -> Result<String, LabError> {
        let device = self.told()?.device;
        Ok(match device.is_empty() {
            true => "trained elsewhere".to_owned(),
            false => format!("trained on {device}"),
        })
    }

    /// The seconds that the training of some checkpoints took, as far as it was told.
    pub(crate) fn seconds(&self, names: impl IntoIterator<Item = String>) -> Result<f64, LabError> {
        let told = self.told()?;
        let known = names.into_iter().filter_map(|name| told.seconds.get(&name));
        Ok(known.sum())
    }
}

/// Reads a model that was trained elsewhere.
pub(crate) fn read_trained(
    path: &Path,
    architecture: &Architecture,
) -> Result<StateDict, EngineError> {
    let name = path.display();
    let mut state = to_state(&read_checkpoint(path)?);
    architecture
        .check(&state)
        .map_err(EngineError::net(&name))?;
    // What the network does not have (counters, say) is no part of the model.
    let tensors = architecture.tensors().map_err(EngineError::net(&name))?;
    let known: BTreeSet<String> = tensors.into_iter().map(|(name, _)| name).collect();
    state.retain(|name, _| known.contains(name));
    Ok(state)
}
