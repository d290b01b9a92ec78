//! Where cached features are: files in a folder, or objects on shared storage.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use disinherit_formats::write_file;
use futures::TryStreamExt;
use object_store::path::Path as Location;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Runtime;

use crate::error::RegistryError;

/// The folder of cached features on shared storage.
const PREFIX: &str = "cache";

/// Named entries.
#[derive(Debug, Clone)]
pub(crate) enum Shelf {
    /// Files of a folder.
    Folder(PathBuf),
    /// Objects below a prefix, which all processes that use the registry share.
    Storage(Arc<dyn ObjectStore>, Arc<Runtime>),
}

/// An entry.
pub(crate) struct Entry {
    pub(crate) name: String,
    /// In bytes.
    pub(crate) size: u64,
    /// When it was last read; on shared storage, where that leaves no trace, when it was written.
    pub(crate) used: SystemTime,
}

impl Shelf {
    /// An entry, if it is there and can be read.
    pub(crate) fn read(&self, name: &str) -> Option<Vec<u8>> {
        match self {
            Self::Folder(folder) => {
                let path = folder.join(name);
                let bytes = std::fs::read(&path).ok()?;
                if let Ok(file) = File::options().append(true).open(&path) {
                    // Only the order in which entries go depends on it.
                    let _ = file.set_modified(SystemTime::now());
                }
                Some(bytes)
            }
            Self::Storage(objects, runtime) => runtime.block_on(async {
                let found = objects.get(&location(name)).await.ok()?;
                Some(found.bytes().await.ok()?.into())
            }),
        }
    }

    /// Writes an entry as a whole.
    pub(crate) fn write(&self, name: &str, bytes: Vec<u8>) -> Result<(), RegistryError> {
        match self {
            Self::Folder(folder) => {
                std::fs::create_dir_all(folder).map_err(RegistryError::io("make", folder))?;
                Ok(write_file(&folder.join(name), &bytes)?)
            }
            Self::Storage(objects, runtime) => {
                runtime.block_on(objects.put(&location(name), bytes.into()))?;
                Ok(())
            }
        }
    }

    /// Removes an entry; one that is gone already counts as removed.
    pub(crate) fn remove(&self, name: &str) -> Result<(), RegistryError> {
        match self {
            Self::Folder(folder) => remove(&folder.join(name)),
            Self::Storage(objects, runtime) => {
                match runtime.block_on(objects.delete(&location(name))) {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    /// All entries.
    pub(crate) fn entries(&self) -> Result<Vec<Entry>, RegistryError> {
        match self {
            Self::Folder(folder) => files(folder),
            Self::Storage(objects, runtime) => runtime.block_on(async {
                let list = objects.list(Some(&Location::from(PREFIX)));
                let entries = list.map_ok(|object| Entry {
                    name: object.location.filename().unwrap_or_default().to_owned(),
                    size: object.size,
                    used: object.last_modified.into(),
                });
                Ok(entries.try_collect().await?)
            }),
        }
    }
}

fn location(name: &str) -> Location {
    Location::from_iter([PREFIX, name])
}

fn files(folder: &Path) -> Result<Vec<Entry>, RegistryError> {
    let listing = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(RegistryError::io("read", folder))?,
    };
    let mut entries = Vec::new();
    for entry in listing {
        let entry = entry.map_err(RegistryError::io("read", folder))?;
        // Another process may have removed it meanwhile.
        if let Ok(data) = entry.metadata()
            && data.is_file()
        {
            entries.push(Entry {
                name: entry.file_name().to_string_lossy().into_owned(),
                size: data.len(),
                used: data.modified().unwrap_or(SystemTime::UNIX_EPOCH),
            });
        }
    }
    Ok(entries)
}

fn remove(path: &Path) -> Result<(), RegistryError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(RegistryError::io("remove", path)),
    }
}
