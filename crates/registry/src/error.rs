//! What can go wrong with a registry or a checkpoint file.

use std::path::{Path, PathBuf};

use disinherit_formats::FormatError;

use crate::digest::{Digest, ParseDigestError};

/// A registry or a file that cannot be read, written or trusted.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The disk said no.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no registry here.
    #[error("there is no registry at {path}; make one with `disinherit init`", path = .0.display())]
    NoRegistry(PathBuf),
    /// There is a registry here already.
    #[error("there is a registry at {path} already", path = .0.display())]
    Exists(PathBuf),
    /// The registry was made by a newer version.
    #[error(
        "the registry at {path} has format {found}, this version reads up to {known}; use a newer disinherit",
        path = path.display()
    )]
    Newer {
        /// The registry.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest format that this version reads.
        known: u64,
    },
    /// A blob that the registry should hold and does not.
    #[error("the registry lacks the object {0}; it has been damaged")]
    Missing(Digest),
    /// A blob whose bytes are not what its name says.
    #[error("the object {0} is damaged: its bytes have another digest")]
    Damaged(Digest),
    /// A stored document that cannot be read.
    #[error("the registry's {what} cannot be read: {reason}")]
    Document {
        /// What it is.
        what: String,
        /// What is wrong.
        reason: String,
    },
    /// A file with tensors.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A FIM card that is damaged or does not fit.
    #[error("the FIM card cannot be used: {0}")]
    Card(String),
    /// Something that somebody else changed first.
    #[error("{0}; somebody else published meanwhile, so run the command again")]
    Conflict(String),
    /// Objects cannot be removed while another process writes some.
    #[error(
        "another process is writing in this registry ({path} is locked); wait until it is done",
        path = .0.display()
    )]
    Busy(PathBuf),
    /// A version whose weights were deleted.
    #[error(
        "the weights of `{0}` were purged; what is left is its record (`disinherit log --operations`)"
    )]
    Purged(umig::ModelId),
    /// Something that the registry's history does not allow.
    #[error("{0}")]
    Refused(String),
    /// The object storage failed.
    #[error("the object storage failed: {0}")]
    Objects(#[from] object_store::Error),
    /// The catalog failed.
    #[error("the catalog failed: {0}")]
    Catalog(#[from] sqlx::Error),
    /// A digest that cannot be read.
    #[error(transparent)]
    Digest(#[from] ParseDigestError),
}

impl RegistryError {
    /// Wraps a disk error with what was tried where.
    pub fn io(action: &'static str, path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

/// For a registry that tensors of a file are read from.
impl From<RegistryError> for FormatError {
    fn from(error: RegistryError) -> Self {
        Self::Source(Box::new(error))
    }
}
