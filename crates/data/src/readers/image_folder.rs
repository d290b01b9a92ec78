//! Folders of images, one sub-folder for each label.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::error::DataError;
use crate::options::OpenOptions;
use crate::readers::picture::{Picture, assemble, decode};
use crate::samples::Samples;
use crate::set::DataSet;

pub(crate) fn read(
    name: &str,
    root: &Path,
    prefix: &str,
    options: &OpenOptions,
) -> Result<DataSet, DataError> {
    let mut label_names = Vec::new();
    let mut files: Vec<(PathBuf, u32, String)> = Vec::new();
    for folder in sorted(root)?.into_iter().filter(|path| path.is_dir()) {
        let label = file_name(&folder);
        let index = label_names.len() as u32;
        for file in sorted(&folder)?.into_iter().filter(|path| is_image(path)) {
            let id = format!("{prefix}{label}/{}", file_name(&file));
            files.push((file, index, id));
        }
        label_names.push(label);
    }
    if files.is_empty() {
        return Err(DataError::Unknown { path: root.into() });
    }
    let pictures: Result<Vec<Picture>, DataError> = files
        .par_iter()
        .map(|(path, _, id)| {
            let bytes = std::fs::read(path).map_err(DataError::io(path))?;
            decode(id, &bytes, options)
        })
        .collect();
    let labels = files.iter().map(|(_, label, _)| *label).collect();
    let ids: Vec<String> = files.into_iter().map(|(_, _, id)| id).collect();
    let (shape, pixels) = assemble(&ids, pictures?)?;
    DataSet::new(
        name,
        Samples::Images { shape, pixels },
        labels,
        label_names,
        ids,
    )
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder)
        .map_err(DataError::io(folder))?
        .map(|entry| entry.map(|e| e.path()).map_err(DataError::io(folder)))
        .collect::<Result<_, _>>()?;
    entries.sort();
    Ok(entries)
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|n| n.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn is_image(path: &Path) -> bool {
    let extension = path
        .extension()
        .map(|e| e.to_string_lossy().to_ascii_lowercase());
    extension.is_some_and(|e| matches!(e.as_str(), "png" | "jpg" | "jpeg"))
}
