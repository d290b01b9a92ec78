//! Features of external samples: what networks that are run elsewhere make of them, written by
//! whatever framework runs those. safetensors, Parquet, or NumPy's `.npy`.

mod contents;
mod npy;
#[cfg(feature = "parquet")]
mod parquet;
mod safetensors;

use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::limits::numbered;
use crate::readers::features::contents::{Contents, checked};
use crate::readers::features::npy::NPY;
use crate::samples::Samples;
use crate::set::DataSet;
use crate::splits::Splits;

/// Whether there are features at a path.
pub(crate) fn are_in(path: &Path) -> Result<bool, DataError> {
    if path.is_dir() {
        return Ok(path.join(NPY).is_file() || !tables(path)?.is_empty());
    }
    Ok(match extension(path) {
        "safetensors" => true,
        #[cfg(feature = "parquet")]
        "parquet" => parquet::is_one(path)?,
        _ => false,
    })
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|e| e.to_str()).unwrap_or("")
}

/// The tables in a folder of them, by name.
fn tables(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).map_err(DataError::io(path))? {
        let file = entry.map_err(DataError::io(path))?.path();
        if extension(&file) == "safetensors" {
            found.push(file);
        }
    }
    found.sort();
    Ok(found)
}

/// Reads features. Where a file does not say which samples were held out, a fixed fifth is.
pub(crate) fn read(name: &str, path: &Path) -> Result<Splits, DataError> {
    let mut all = if !path.is_dir() {
        vec![(path.to_owned(), one(path)?)]
    } else if path.join(NPY).is_file() {
        vec![(path.to_owned(), npy::read_folder(path)?)]
    } else {
        let named = tables(path)?.into_iter().map(|file| {
            let mut contents = one(&file)?;
            if let Some(table) = contents.table.as_mut().filter(|t| t.models.is_empty()) {
                // In a folder of several, a file's name tells whose features it holds.
                let stem = file.file_stem().unwrap_or_default();
                table.models.push(stem.to_string_lossy().into_owned());
            }
            Ok((file, contents))
        });
        named.collect::<Result<Vec<_>, DataError>>()?
    };
    let (first, rest) = all
        .split_first()
        .ok_or_else(|| DataError::Unknown { path: path.into() })?;
    same_samples(first, rest)?;
    let tables = all.iter_mut().filter_map(|(_, c)| c.table.take()).collect();
    let (_, shared) = all.swap_remove(0);
    let count = shared.labels.len();
    let names = match shared.names {
        Some(names) => names,
        None => numbered(&shared.labels).map_err(|reason| DataError::Features {
            path: path.to_owned(),
            reason,
        })?,
    };
    let ids = shared
        .ids
        .unwrap_or_else(|| (0..count).map(|row| format!("{name}/{row:06}")).collect());
    let set = DataSet::new(name, Samples::Features(tables), shared.labels, names, ids)?;
    Ok(match shared.heldout {
        None => Splits::divided(set),
        Some(heldout) => {
            let side = |wanted: bool| -> Vec<usize> {
                (0..count).filter(|row| heldout[*row] == wanted).collect()
            };
            Splits {
                train: set.select(&side(false)),
                heldout: set.select(&side(true)),
            }
        }
    })
}

/// Checks that all tables of a folder are of the same samples.
fn same_samples(
    first: &(PathBuf, Contents),
    rest: &[(PathBuf, Contents)],
) -> Result<(), DataError> {
    for (file, other) in rest {
        let what = [
            ("labels", other.labels == first.1.labels),
            ("label names", other.names == first.1.names),
            ("ids", other.ids == first.1.ids),
            ("held-out samples", other.heldout == first.1.heldout),
        ];
        if let Some((what, _)) = what.iter().find(|(_, same)| !same) {
            return Err(DataError::Features {
                path: file.clone(),
                reason: format!(
                    "its {what} are not those of {}: all tables of a folder are of the same samples, \
                     in the same order",
                    first.0.display()
                ),
            });
        }
    }
    Ok(())
}

fn one(path: &Path) -> Result<Contents, DataError> {
    let refuse = |reason: String| DataError::Features {
        path: path.to_owned(),
        reason,
    };
    let contents = match extension(path) {
        #[cfg(feature = "parquet")]
        "parquet" => parquet::read(path)?,
        _ => {
            let bytes = std::fs::read(path).map_err(DataError::io(path))?;
            safetensors::read(&bytes).map_err(&refuse)?
        }
    };
    checked(contents).map_err(refuse)
}
