//! Checkpoint files: safetensors in and out.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{SafeTensors, serialize};

use crate::{StoreError, Tensor};

/// Reads a safetensors file. The header is checked against the file's length and every tensor's
/// shape against its bytes before any of it is believed.
///
/// # Errors
/// [`StoreError::Io`], or [`StoreError::Checkpoint`] naming the file and what is wrong.
pub fn read_checkpoint(path: &Path) -> Result<BTreeMap<String, Tensor>, StoreError> {
    let bytes = std::fs::read(path).map_err(StoreError::io("read", path))?;
    let refuse = |reason: String| StoreError::Checkpoint {
        path: path.to_owned(),
        reason,
    };
    let file = SafeTensors::deserialize(&bytes).map_err(|error| refuse(error.to_string()))?;
    if file.is_empty() {
        return Err(refuse("it holds no tensors".into()));
    }
    Ok(file
        .iter()
        .map(|(name, view)| {
            let tensor = Tensor {
                dtype: view.dtype(),
                shape: view.shape().to_vec(),
                bytes: view.data().to_vec(),
            };
            (name.to_owned(), tensor)
        })
        .collect())
}

/// Writes a safetensors file, as [`write_file`] does.
///
/// # Errors
/// [`StoreError::Io`] or [`StoreError::Checkpoint`].
pub fn write_checkpoint(
    path: &Path,
    tensors: &BTreeMap<String, Tensor>,
    metadata: HashMap<String, String>,
) -> Result<(), StoreError> {
    let bytes = to_safetensors(tensors, metadata).map_err(|reason| StoreError::Checkpoint {
        path: path.to_owned(),
        reason,
    })?;
    write_file(path, &bytes)
}

/// Writes a file: to a temporary one beside it first, then into place, so that a reader never sees
/// half of it.
///
/// # Errors
/// [`StoreError::Io`].
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut file =
        tempfile::NamedTempFile::new_in(folder).map_err(StoreError::io("write into", folder))?;
    file.write_all(bytes)
        .map_err(StoreError::io("write", path))?;
    file.as_file()
        .sync_all()
        .map_err(StoreError::io("write", path))?;
    file.persist(path)
        .map_err(|error| StoreError::io("write", path)(error.error))?;
    Ok(())
}

pub(crate) fn to_safetensors(
    tensors: &BTreeMap<String, Tensor>,
    metadata: HashMap<String, String>,
) -> Result<Vec<u8>, String> {
    let views: Result<Vec<(&String, TensorView<'_>)>, _> = tensors
        .iter()
        .map(|(name, tensor)| {
            TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes)
                .map(|view| (name, view))
        })
        .collect();
    let views = views.map_err(|error| error.to_string())?;
    serialize(views, Some(metadata)).map_err(|error| error.to_string())
}
