//! Objects in a folder: where each is, and bringing them to the disk for certain.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use futures::stream::{self, TryStreamExt};
use object_store::path::Path as Location;

use crate::digest::Digest;
use crate::error::RegistryError;

/// Files brought to the disk at a time.
const CONCURRENT: usize = 16;

/// What was written to a folder and may not have reached the disk yet.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    unsynced: Mutex<BTreeSet<Digest>>,
}

impl Disk {
    /// A folder in which everything is on the disk.
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            unsynced: Mutex::default(),
        }
    }

    /// Files in the folder that are no objects: what a write leaves that was cut short.
    ///
    /// # Errors
    /// [`RegistryError::Io`].
    pub(crate) fn leftovers(&self) -> Result<Vec<PathBuf>, RegistryError> {
        let entries = |folder: &Path| -> Result<Vec<PathBuf>, RegistryError> {
            let list = std::fs::read_dir(folder).map_err(RegistryError::io("list", folder))?;
            list.map(|entry| Ok(entry.map_err(RegistryError::io("list", folder))?.path()))
                .collect()
        };
        let mut found = Vec::new();
        for path in entries(&self.folder)? {
            if !path.is_dir() {
                found.push(path);
                continue;
            }
            for file in entries(&path)? {
                let place = file.strip_prefix(&self.folder).ok();
                let location = place
                    .and_then(Path::to_str)
                    .map(|text| Location::from(text.replace(std::path::MAIN_SEPARATOR, "/")));
                if location.as_ref().and_then(digest_of).is_none() {
                    found.push(file);
                }
            }
        }
        Ok(found)
    }

    /// What was written and not yet brought to the disk.
    pub(crate) fn unsynced(&self) -> MutexGuard<'_, BTreeSet<Digest>> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings these objects and their folders to the disk.
    pub(crate) async fn sync(&self, digests: &BTreeSet<Digest>) -> Result<(), RegistryError> {
        let mut folders = BTreeSet::new();
        let mut files = Vec::with_capacity(digests.len());
        for digest in digests {
            let path = self.folder.join(location(*digest).as_ref());
            folders.extend(path.parent().map(Path::to_owned));
            files.push(path);
        }
        sync_all(files).await?;
        if cfg!(unix) && !folders.is_empty() {
            // Names live in folders; elsewhere they cannot be brought to the disk by themselves.
            folders.insert(self.folder.clone());
            sync_all(folders).await?;
        }
        Ok(())
    }
}

async fn sync_all(paths: impl IntoIterator<Item = PathBuf>) -> Result<(), RegistryError> {
    stream::iter(paths)
        .map(|path| async move {
            let task = tokio::task::spawn_blocking(move || {
                let synced = File::open(&path).and_then(|file| file.sync_all());
                synced.map_err(RegistryError::io("bring to the disk", &path))
            });
            match task.await {
                Ok(done) => done,
                Err(error) => Err(RegistryError::io("bring to the disk", "the objects")(
                    std::io::Error::other(error),
                )),
            }
        })
        .buffer_unordered(CONCURRENT)
        .try_collect()
        .await
}

/// Spread over 256 folders, so that no folder grows too large.
pub(crate) fn location(digest: Digest) -> Location {
    let name = digest.to_string();
    let (folder, rest) = name.split_at(2);
    Location::from_iter([folder, rest])
}

/// The digest that an object's place stands for.
pub(crate) fn digest_of(place: &Location) -> Option<Digest> {
    let parts: Vec<String> = place.parts().map(|p| p.as_ref().to_owned()).collect();
    let digest: Digest = parts.concat().parse().ok()?;
    (location(digest) == *place).then_some(digest)
}
