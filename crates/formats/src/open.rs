//! Opens a model, whatever its format.

use std::path::Path;

use crate::error::FormatError;
use crate::hub::folder;
use crate::model_file::ModelFile;

/// Opens a model: a safetensors file, a PyTorch state dict, an ONNX file, an index of shards, or a folder with one
/// of them.
///
/// # Errors
/// [`FormatError`] saying what is wrong and what to do.
pub fn open(path: &Path) -> Result<ModelFile, FormatError> {
    if path.is_dir() {
        return folder::open(path);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    if name.ends_with(".index.json") {
        return folder::open(path.parent().unwrap_or(Path::new(".")));
    }
    let mut model = ModelFile::new(false);
    model.add(path, name.into_owned())?;
    Ok(model)
}
