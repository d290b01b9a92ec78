//! From a name or a path to training and held-out data.

use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::options::OpenOptions;
use crate::readers::parquet as parquet_reader;
use crate::readers::{digits, features, image_folder};
use crate::splits::Splits;

/// Reads a data set: `digits` (embedded), a `.parquet` file, a folder with `train*.parquet` and
/// `test*.parquet` (or `validation*.parquet`), a folder with `train/` and `test/`, or a folder with
/// one sub-folder of images for each label; or features of samples that stay where they are, as in
/// `docs/your-models.md`. Sources without a test split of their own lend a
/// fixed, stratified fifth of their samples as held-out data.
///
/// ```
/// let splits = disinherit_data::open("digits", &disinherit_data::OpenOptions::default())?;
/// assert_eq!(splits.train.len() + splits.heldout.len(), 1797);
/// assert_eq!(splits.train.label_names()[3], "3");
/// # Ok::<(), disinherit_data::DataError>(())
/// ```
///
/// # Errors
/// [`DataError`]; [`DataError::Unsupported`] for a format that this build leaves out.
pub fn open(source: &str, options: &OpenOptions) -> Result<Splits, DataError> {
    if source == "digits" {
        return Ok(Splits::divided(digits::digits()?));
    }
    let path = Path::new(source);
    let metadata = std::fs::metadata(path).map_err(DataError::io(path))?;
    let name = path
        .canonicalize()
        .ok()
        .and_then(|full| {
            full.file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
        })
        .unwrap_or_else(|| "data".into());
    if features::are_in(path)? {
        return features::read(&name, path);
    }
    if metadata.is_file() {
        return if path.extension().is_some_and(|e| e == "parquet") {
            parquet_reader::read(&name, &[path.to_owned()], &[], options)
        } else {
            Err(DataError::Unknown { path: path.into() })
        };
    }
    open_folder(path, &name, options)
}

fn open_folder(path: &Path, name: &str, options: &OpenOptions) -> Result<Splits, DataError> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
        .map_err(DataError::io(path))?
        .map(|entry| entry.map(|e| e.path()).map_err(DataError::io(path)))
        .collect::<Result<_, _>>()?;
    entries.sort();
    let parquet = |prefixes: &[&str]| -> Vec<PathBuf> {
        let starts = |file: &PathBuf| {
            let stem = file.file_name().map(|n| n.to_string_lossy().into_owned());
            stem.is_some_and(|stem| prefixes.iter().any(|p| stem.starts_with(p)))
        };
        let is_parquet = |file: &PathBuf| file.extension().is_some_and(|e| e == "parquet");
        entries
            .iter()
            .filter(|f| is_parquet(f) && starts(f))
            .cloned()
            .collect()
    };
    let train = parquet(&["train"]);
    let test = parquet(&["test", "validation", "valid"]);
    if !train.is_empty() {
        return parquet_reader::read(name, &train, &test, options);
    }
    let folder_of = |names: &[&str]| names.iter().map(|n| path.join(n)).find(|p| p.is_dir());
    match (
        folder_of(&["train"]),
        folder_of(&["test", "val", "validation"]),
    ) {
        (Some(train), Some(test)) => {
            let train = image_folder::read(name, &train, "train/", options)?;
            Splits::paired(
                name,
                train,
                image_folder::read(name, &test, "test/", options)?,
            )
        }
        _ if entries.iter().any(|entry| entry.is_dir()) => Ok(Splits::divided(image_folder::read(
            name, path, "", options,
        )?)),
        _ => Err(DataError::Unknown { path: path.into() }),
    }
}
