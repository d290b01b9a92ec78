//! Folders: weights in one file or in shards, beside configuration, as on the Hugging Face Hub.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::FormatError;
use crate::model_file::ModelFile;

/// The names that weights have on the Hub, the preferred first: an index of shards, or one file.
const WEIGHTS: [&str; 6] = [
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
    "adapter_model.safetensors",
    "adapter_model.bin",
];

/// Documents beside the weights are smaller.
const LARGEST_DOCUMENT: u64 = 64 << 20;

/// Whether a folder is one model.
pub fn is_model_folder(path: &Path) -> bool {
    weights(path).is_some()
}

fn weights(path: &Path) -> Option<PathBuf> {
    let named = WEIGHTS.iter().map(|name| path.join(name));
    named.clone().find(|file| file.is_file()).or_else(|| {
        // Shards of a file of another name.
        files(path)
            .ok()?
            .into_iter()
            .find(|file| file.to_string_lossy().ends_with(".index.json"))
    })
}

/// The files of a folder, by name.
fn files(path: &Path) -> Result<Vec<PathBuf>, FormatError> {
    let mut list = Vec::new();
    for entry in std::fs::read_dir(path).map_err(FormatError::unreadable(path))? {
        let file = entry.map_err(FormatError::unreadable(path))?.path();
        if file.is_file() {
            list.push(file);
        }
    }
    list.sort();
    Ok(list)
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

pub(crate) fn open(path: &Path) -> Result<ModelFile, FormatError> {
    let weights = weights(path).ok_or_else(|| {
        FormatError::file(
            path,
            format!("it holds no model: expected {}", WEIGHTS.join(", or ")),
        )
    })?;
    let mut model = ModelFile::new(true);
    let mut taken = BTreeSet::new();
    if weights.extension().is_some_and(|ending| ending == "json") {
        taken.extend(shards(&mut model, path, &weights)?);
    } else {
        let name = file_name(&weights);
        model.add(&weights, name.clone())?;
        taken.insert(name);
    }
    for file in files(path)? {
        let name = file_name(&file);
        if taken.contains(&name) {
            continue;
        }
        let size = std::fs::metadata(&file).map_err(FormatError::unreadable(&file))?;
        if size.len() > LARGEST_DOCUMENT || other_weights(&name) {
            model.warnings.push(format!(
                "{}: stays behind, and will not be in what is exported",
                file.display()
            ));
            continue;
        }
        let bytes = std::fs::read(&file).map_err(FormatError::unreadable(&file))?;
        model.documents.insert(name, bytes);
    }
    Ok(model)
}

/// Whether a file is the same weights in another format: what is forgotten must not stay in it.
fn other_weights(name: &str) -> bool {
    let endings = [
        ".safetensors",
        ".bin",
        ".pt",
        ".pth",
        ".h5",
        ".msgpack",
        ".onnx",
        ".ot",
        ".ckpt",
        ".gguf",
    ];
    endings.iter().any(|ending| name.ends_with(ending))
}

/// Adds the shards that an index names.
fn shards(
    model: &mut ModelFile,
    folder: &Path,
    index: &Path,
) -> Result<BTreeSet<String>, FormatError> {
    let text = std::fs::read(index).map_err(FormatError::unreadable(index))?;
    let map: Index = serde_json::from_slice(&text)
        .map_err(|error| FormatError::file(index, format!("it is no index of shards: {error}")))?;
    let shards: BTreeSet<String> = map.weight_map.values().cloned().collect();
    if let Some(outside) = shards.iter().find(|name| Path::new(name) != base(name)) {
        return Err(FormatError::file(
            index,
            format!("it names the shard `{outside}`, which is not in its folder"),
        ));
    }
    let missing: Vec<&String> = shards
        .iter()
        .filter(|name| !folder.join(name).is_file())
        .collect();
    if let Some(first) = missing.first() {
        return Err(FormatError::Shard {
            index: index.to_owned(),
            shard: (*first).clone(),
            missing: missing.len(),
            all: shards.len(),
        });
    }
    for name in &shards {
        model.add(&folder.join(name), name.clone())?;
    }
    for (tensor, shard) in &map.weight_map {
        let file = model.format.files.iter().find(|file| file.name == *shard);
        if !file.is_some_and(|file| file.tensors.contains(tensor)) {
            return Err(FormatError::file(
                index,
                format!("it says that `{tensor}` is in `{shard}`, and there it is not"),
            ));
        }
    }
    Ok(shards)
}

fn base(name: &str) -> &Path {
    Path::new(Path::new(name).file_name().unwrap_or_default())
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
