//! What can be wrong with a data set.

use std::path::PathBuf;

/// A data set that cannot be read or is refused.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The disk said no.
    #[error("cannot read {path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A Parquet file that is damaged or laid out in another way.
    #[error("{path} is not a Parquet file of images or texts that can be read: {reason}", path = path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file of features that is damaged or laid out in another way.
    #[error("{path} is not a file of features that can be read: {reason}", path = path.display())]
    Features {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A tokenizer that cannot be used.
    #[error("cannot tokenise with {path}: {reason}", path = path.display())]
    Tokenizer {
        /// The tokenizer's file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// One image that cannot be decoded.
    #[error("image `{id}` cannot be decoded: {reason}")]
    Image {
        /// The sample's id.
        id: String,
        /// What is wrong.
        reason: String,
    },
    /// Images of different sizes and no size to bring them to.
    #[error(
        "image `{id}` is {found}, the others are {expected}; give a size to scale all images to"
    )]
    Size {
        /// The sample's id.
        id: String,
        /// Its size.
        found: String,
        /// The size of the first image.
        expected: String,
    },
    /// Nothing that looks like a data set.
    #[error(
        "{path} holds no data set: expected `digits`, a .parquet file, a folder with train*.parquet \
         and test*.parquet, a folder with one sub-folder of images for each label, or features \
         (.safetensors, .parquet, or a folder with features.npy)",
        path = path.display()
    )]
    Unknown {
        /// The path.
        path: PathBuf,
    },
    /// A format whose reader was left out of this build.
    #[error("cannot read {path}: this build does not read {what}", path = path.display())]
    Unsupported {
        /// The file or folder.
        path: PathBuf,
        /// What it would have to read.
        what: &'static str,
    },
    /// Parts of a data set that contradict each other.
    #[error("the data set `{name}` is inconsistent: {reason}")]
    Inconsistent {
        /// The data set's name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A partition that cannot be made.
    #[error("cannot partition: {0}")]
    Partition(String),
}

impl DataError {
    #[cfg(not(all(feature = "images", feature = "parquet", feature = "text")))]
    pub(crate) fn unsupported(path: &std::path::Path, what: &'static str) -> Self {
        Self::Unsupported {
            path: path.to_owned(),
            what,
        }
    }

    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
