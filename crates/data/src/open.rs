//! From a name or a path to training and held-out data.

use std::path::{Path, PathBuf};

use crate::error::DataError;
use crate::set::DataSet;
use crate::text::{Texts, Tokeniser, VOCABULARY};
use crate::{digits, features, folder, parquet_file};

/// The share held out, and the seed, where a source has no test split of its own. Fixed, so that a
/// sample's side never depends on who asks.
const HELD_OUT: f64 = 0.2;
const SPLIT_SEED: u64 = 0x0d15_1e41;

/// How to read a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenOptions {
    /// Scale every image to this height and width; otherwise all must have one size.
    pub size: Option<(usize, usize)>,
    /// How texts are cut into tokens, a `tokenizer.json` whose token 0 is padding; otherwise the
    /// words of the training texts are numbered by how often they occur.
    pub tokenizer: Option<PathBuf>,
    /// Different tokens where there is no tokenizer.
    pub vocabulary: usize,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            size: None,
            tokenizer: None,
            vocabulary: VOCABULARY,
        }
    }
}

/// Training data and held-out data of one source.
#[derive(Debug, Clone, PartialEq)]
pub struct Splits {
    /// For training.
    pub train: DataSet,
    /// Never for training.
    pub heldout: DataSet,
}

/// Reads a data set: `digits` (embedded), a `.parquet` file, a folder with `train*.parquet` and
/// `test*.parquet` (or `validation*.parquet`), a folder with `train/` and `test/`, or a folder with
/// one sub-folder of images for each label; or features of samples that stay where they are, as in
/// `docs/your-models.md`. Sources without a test split of their own lend a
/// fixed, stratified fifth of their samples as held-out data.
///
/// # Errors
/// [`DataError`].
pub fn open(source: &str, options: &OpenOptions) -> Result<Splits, DataError> {
    if source == "digits" {
        return Ok(divided(digits::digits()?));
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
        return features::read(&name, path, divided);
    }
    if metadata.is_file() {
        return if path.extension().is_some_and(|e| e == "parquet") {
            if parquet_file::is_text(path)? {
                let texts = parquet_file::read_texts(&[path.to_owned()])?;
                let tokeniser = tokeniser(&texts, options)?;
                return Ok(divided(tokeniser.data_set(&name, texts)?));
            }
            Ok(divided(parquet_file::read(
                &name,
                &[path.to_owned()],
                options,
            )?))
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
    if let Some(first) = train.first() {
        if parquet_file::is_text(first)? {
            let train = parquet_file::read_texts(&train)?;
            let tokeniser = tokeniser(&train, options)?;
            let train = tokeniser.data_set(name, train)?;
            if test.is_empty() {
                return Ok(divided(train));
            }
            let heldout = tokeniser.data_set(name, parquet_file::read_texts(&test)?)?;
            return paired(name, train, heldout);
        }
        let train = parquet_file::read(name, &train, options)?;
        if test.is_empty() {
            return Ok(divided(train));
        }
        let heldout = parquet_file::read(name, &test, options)?;
        return paired(name, train, heldout);
    }
    let folder_of = |names: &[&str]| names.iter().map(|n| path.join(n)).find(|p| p.is_dir());
    match (
        folder_of(&["train"]),
        folder_of(&["test", "val", "validation"]),
    ) {
        (Some(train), Some(test)) => {
            let train = folder::read(name, &train, "train/", options)?;
            paired(name, train, folder::read(name, &test, "test/", options)?)
        }
        _ if entries.iter().any(|entry| entry.is_dir()) => {
            Ok(divided(folder::read(name, path, "", options)?))
        }
        _ => Err(DataError::Unknown { path: path.into() }),
    }
}

fn tokeniser(train: &Texts, options: &OpenOptions) -> Result<Tokeniser, DataError> {
    match &options.tokenizer {
        Some(path) => Tokeniser::from_file(path),
        None => Tokeniser::of_words(&train.texts, options.vocabulary),
    }
}

fn divided(all: DataSet) -> Splits {
    let (train, heldout) = all.split(HELD_OUT, SPLIT_SEED);
    Splits { train, heldout }
}

fn paired(name: &str, train: DataSet, heldout: DataSet) -> Result<Splits, DataError> {
    let refuse = |reason: String| {
        Err(DataError::Inconsistent {
            name: name.to_owned(),
            reason,
        })
    };
    if train.label_names() != heldout.label_names() {
        return refuse("training and held-out data have different label names".into());
    }
    if train.image_shape() != heldout.image_shape() {
        return refuse("training and held-out images have different sizes".into());
    }
    Ok(Splits { train, heldout })
}
