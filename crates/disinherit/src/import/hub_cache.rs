//! The folders in which the libraries of the Hugging Face Hub keep what they downloaded:
//! `models--OWNER--NAME` with `refs` (names of revisions), `snapshots` (a folder of symbolic links for each
//! revision) and `blobs` (the files).

use std::path::{Path, PathBuf};

use disinherit_formats::FormatError;

/// What stands in front of a model's repository.
const MODELS: &str = "models--";

/// What stands in front of repositories of other kinds.
const OTHERS: [&str; 2] = ["datasets--", "spaces--"];

const SNAPSHOTS: &str = "snapshots";

/// One revision of a model's repository.
pub(super) struct CachedRepository {
    /// The repository: `OWNER/NAME`, or `NAME` for those without an owner.
    pub(super) name: String,
    /// The folder of the revision; nothing where nothing was downloaded.
    pub(super) revision: Option<PathBuf>,
}

impl CachedRepository {
    /// The repository whose folder this is, or the folder of one of its revisions.
    ///
    /// # Errors
    /// [`FormatError::Io`] when its revisions cannot be read; [`FormatError::File`] when there are several and
    /// nothing says which one is meant.
    pub(super) fn at(path: &Path) -> Result<Option<Self>, FormatError> {
        // So that `.` has a name too.
        let Ok(full) = path.canonicalize() else {
            return Ok(None);
        };
        if let Some(name) = repository(&full).filter(|_| path.join(SNAPSHOTS).is_dir()) {
            let revision = main_revision(path)?;
            return Ok(Some(Self { name, revision }));
        }
        let above = full.parent().filter(|above| above.ends_with(SNAPSHOTS));
        let name = above.and_then(Path::parent).and_then(repository);
        Ok(name.filter(|_| full.is_dir()).map(|name| Self {
            name,
            revision: Some(path.to_owned()),
        }))
    }
}

/// Whether a folder is a cached repository that holds no model: a data set, or an application.
pub(super) fn is_other_cache(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    OTHERS.iter().any(|kind| name.starts_with(kind)) && path.join(SNAPSHOTS).is_dir()
}

/// The repository of a folder that is named as in a cache. Names on the Hub never hold two dashes in a row.
fn repository(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?.strip_prefix(MODELS)?;
    Some(name.replacen("--", "/", 1))
}

/// The revision that `refs/main` names, or the only one.
fn main_revision(path: &Path) -> Result<Option<PathBuf>, FormatError> {
    let folder = path.join(SNAPSHOTS);
    if let Ok(commit) = std::fs::read_to_string(path.join("refs/main")) {
        let revision = folder.join(commit.trim());
        // The name may have outlived what it names.
        if revision.parent() == Some(&folder) && revision.is_dir() {
            return Ok(Some(revision));
        }
    }
    let mut revisions: Vec<PathBuf> = std::fs::read_dir(&folder)
        .and_then(|list| list.map(|entry| entry.map(|e| e.path())).collect())
        .map_err(FormatError::io("read", &folder))?;
    revisions.retain(|revision| revision.is_dir());
    revisions.sort();
    if let [first, _, ..] = revisions.as_slice() {
        return Err(FormatError::File {
            path: path.to_owned(),
            reason: format!(
                "it has {} revisions, and no `refs/main` says which one is meant; give the folder of one, for \
                 example {}",
                revisions.len(),
                first.display()
            ),
        });
    }
    Ok(revisions.pop())
}
