//! What can be wrong with a file that somebody brings.

use std::path::{Path, PathBuf};

/// A model that cannot be read or written, with what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// A file that cannot be used.
    #[error("{path}: {reason}", path = path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A pickle that would run code when Python loads it.
    #[error(
        "{path} holds `{name}`, which Python would run when it loads the file; nothing of it was run. \
         If you trust where it comes from, load it in PyTorch and save the weights alone: \
         torch.save(model.state_dict(), PATH)",
        path = path.display()
    )]
    Code {
        /// The file.
        path: PathBuf,
        /// What it would call.
        name: String,
    },
    /// A shard that an index names and that is not there.
    #[error(
        "{index} names the shard `{shard}`, which is not there: {missing} of its {all} shards are \
         missing; fetch them into the same folder",
        index = index.display()
    )]
    Shard {
        /// The index.
        index: PathBuf,
        /// The first missing shard.
        shard: String,
        /// How many are missing.
        missing: usize,
        /// How many there are.
        all: usize,
    },
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
    /// A checkpoint file that is damaged or lies about itself.
    #[error("{path} is not a usable checkpoint: {reason}", path = path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A source of tensors that is no file.
    #[error(transparent)]
    Source(Box<dyn std::error::Error + Send + Sync>),
}

impl FormatError {
    pub(crate) fn file(path: &Path, reason: impl Into<String>) -> Self {
        Self::File {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }

    /// Wraps an error of a file that a user brings.
    pub(crate) fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::File {
            path,
            reason: error.to_string(),
        }
    }

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
