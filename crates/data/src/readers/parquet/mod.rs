//! Parquet files of images or texts, as on the Hugging Face Hub.

pub(crate) mod columns;
#[cfg(feature = "images")]
mod images;
pub(crate) mod page_limits;
mod rows;
#[cfg(feature = "text")]
mod texts;

use std::path::PathBuf;

use crate::error::DataError;
use crate::options::OpenOptions;
use crate::splits::Splits;

/// Reads files for training and, where there are any, held-out files.
pub(crate) fn read(
    name: &str,
    train: &[PathBuf],
    heldout: &[PathBuf],
    options: &OpenOptions,
) -> Result<Splits, DataError> {
    let Some(first) = train.first() else {
        return Err(DataError::Unknown { path: name.into() });
    };
    if rows::is_text(first)? {
        read_texts(name, train, heldout, options)
    } else {
        read_images(name, train, heldout, options)
    }
}

#[cfg(feature = "images")]
fn read_images(
    name: &str,
    train: &[PathBuf],
    heldout: &[PathBuf],
    options: &OpenOptions,
) -> Result<Splits, DataError> {
    let train = images::read(name, train, options)?;
    if heldout.is_empty() {
        return Ok(Splits::divided(train));
    }
    Splits::paired(name, train, images::read(name, heldout, options)?)
}

#[cfg(not(feature = "images"))]
fn read_images(
    name: &str,
    train: &[PathBuf],
    _: &[PathBuf],
    _: &OpenOptions,
) -> Result<Splits, DataError> {
    Err(DataError::unsupported(
        train.first().map_or(name.as_ref(), PathBuf::as_path),
        "images",
    ))
}

#[cfg(feature = "text")]
fn read_texts(
    name: &str,
    train: &[PathBuf],
    heldout: &[PathBuf],
    options: &OpenOptions,
) -> Result<Splits, DataError> {
    use crate::readers::text::Tokeniser;

    let train = texts::read(train)?;
    let tokeniser = match &options.tokenizer {
        Some(path) => Tokeniser::from_file(path)?,
        None => Tokeniser::from_words(&train.texts, options.vocabulary)?,
    };
    let train = tokeniser.data_set(name, train)?;
    if heldout.is_empty() {
        return Ok(Splits::divided(train));
    }
    let heldout = tokeniser.data_set(name, texts::read(heldout)?)?;
    Splits::paired(name, train, heldout)
}

#[cfg(not(feature = "text"))]
fn read_texts(
    name: &str,
    train: &[PathBuf],
    _: &[PathBuf],
    _: &OpenOptions,
) -> Result<Splits, DataError> {
    Err(DataError::unsupported(
        train.first().map_or(name.as_ref(), PathBuf::as_path),
        "texts",
    ))
}
