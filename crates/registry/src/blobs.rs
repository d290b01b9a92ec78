//! Bytes by content.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use futures::stream::{self, TryStreamExt};

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as Location;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use crate::crash;
use crate::digest::Digest;
use crate::error::RegistryError;

/// Files brought to the disk, or objects removed, at a time.
const CONCURRENT: usize = 16;

/// An object on shared storage that is older is written again when it is used anew, so that nobody
/// who clears away what was never published takes it for abandoned. Half of [`ABANDONED`].
const STALE: Duration = Duration::from_secs(12 * 3600);

/// How old an unpublished object on shared storage must be to count as abandoned: there, nobody
/// can tell whether another process is about to publish it.
pub(crate) const ABANDONED: Duration = Duration::from_secs(24 * 3600);

/// Blobs named by their digest, on any `object_store` backend: immutable, written atomically, and
/// checked against their name when read. On a disk they are certain to survive a loss of power once
/// [`Blobs::sync`] has returned.
#[derive(Debug, Clone)]
pub struct Blobs {
    objects: Arc<dyn ObjectStore>,
    disk: Option<Arc<Disk>>,
    /// Bytes read and written so far.
    traffic: Arc<[AtomicU64; 2]>,
}

/// An object that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Its digest, if it is whole.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written.
    pub written: SystemTime,
}

/// What was written to a folder and may not have reached the disk yet.
#[derive(Debug)]
struct Disk {
    folder: PathBuf,
    unsynced: Mutex<BTreeSet<Digest>>,
}

impl Blobs {
    /// Blobs in a folder that is there already.
    ///
    /// # Errors
    /// [`RegistryError::Objects`] when the folder cannot be used.
    pub fn in_folder(folder: &Path) -> Result<Self, RegistryError> {
        Ok(Self {
            objects: Arc::new(LocalFileSystem::new_with_prefix(folder)?),
            disk: Some(Arc::new(Disk {
                folder: folder.to_owned(),
                unsynced: Mutex::default(),
            })),
            traffic: Arc::default(),
        })
    }

    /// Blobs in memory.
    pub fn in_memory() -> Self {
        Self::on(Arc::new(InMemory::new()))
    }

    /// Blobs on some storage that is not a folder of this machine.
    pub fn on(objects: Arc<dyn ObjectStore>) -> Self {
        Self {
            objects,
            disk: None,
            traffic: Arc::default(),
        }
    }

    /// Stores bytes. What is there already is read and compared first: a write that a loss of power
    /// cut short is made good here.
    ///
    /// # Errors
    /// [`RegistryError::Objects`].
    pub async fn put(&self, bytes: Vec<u8>) -> Result<Digest, RegistryError> {
        let digest = Digest::of(&bytes);
        let there = match self.objects.head(&location(digest)).await {
            Err(object_store::Error::NotFound { .. }) => false,
            other => {
                let known = other?;
                let age = SystemTime::now().duration_since(known.last_modified.into());
                known.size == bytes.len() as u64
                    && (self.disk.is_some() || age.is_ok_and(|age| age < STALE))
                    && self.get(digest).await.is_ok()
            }
        };
        crash::point("object");
        if !there {
            // Two writers of one blob write the same bytes, so the later may replace the earlier.
            let options = PutOptions::from(PutMode::Overwrite);
            self.traffic[1].fetch_add(bytes.len() as u64, Ordering::Relaxed);
            self.objects
                .put_opts(&location(digest), bytes.into(), options)
                .await?;
        }
        if let Some(disk) = &self.disk {
            disk.unsynced().insert(digest);
        }
        Ok(digest)
    }

    /// Brings everything that was stored so far to the disk. Many files at once, and each folder
    /// only once, take a fraction of the time that file after file would.
    ///
    /// # Errors
    /// [`RegistryError::Io`]; what could not be brought there is tried again next time.
    pub async fn sync(&self) -> Result<(), RegistryError> {
        let Some(disk) = &self.disk else {
            return Ok(());
        };
        let digests = std::mem::take(&mut *disk.unsynced());
        let done = disk.sync(&digests).await;
        if done.is_err() {
            disk.unsynced().extend(digests);
        }
        done
    }

    /// The bytes with this digest.
    ///
    /// # Errors
    /// [`RegistryError::Missing`], [`RegistryError::Damaged`] when they are not what their name says, or
    /// [`RegistryError::Objects`].
    pub async fn get(&self, digest: Digest) -> Result<Vec<u8>, RegistryError> {
        let result = match self.objects.get(&location(digest)).await {
            Err(object_store::Error::NotFound { .. }) => {
                return Err(RegistryError::Missing(digest));
            }
            other => other?,
        };
        let bytes = result.bytes().await?;
        self.traffic[0].fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if Digest::of(&bytes) != digest {
            return Err(RegistryError::Damaged(digest));
        }
        Ok(bytes.into())
    }

    /// Every object there is, with its size and when it was written.
    ///
    /// # Errors
    /// [`RegistryError::Objects`].
    pub async fn list(&self) -> Result<Vec<Stored>, RegistryError> {
        let mut found = Vec::new();
        let mut list = self.objects.list(None);
        while let Some(meta) = list.try_next().await? {
            if let Some(digest) = digest_of(&meta.location) {
                found.push(Stored {
                    digest,
                    size: meta.size,
                    written: meta.last_modified.into(),
                });
            }
        }
        Ok(found)
    }

    /// Removes objects; one that is gone already counts as removed.
    ///
    /// # Errors
    /// [`RegistryError::Objects`]; some may have been removed.
    pub async fn remove(
        &self,
        digests: impl IntoIterator<Item = Digest>,
    ) -> Result<(), RegistryError> {
        stream::iter(digests)
            .map(|digest| async move {
                crash::point("remove object");
                match self.objects.delete(&location(digest)).await {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                    Err(error) => Err(error.into()),
                }
            })
            .buffer_unordered(CONCURRENT)
            .try_collect()
            .await
    }

    /// Whether the objects are in a folder that other processes reach through the same disk only.
    pub(crate) fn on_disk(&self) -> bool {
        self.disk.is_some()
    }

    /// Files in the folder that are no objects: what a write leaves that was cut short.
    ///
    /// # Errors
    /// [`RegistryError::Io`].
    pub(crate) fn leftovers(&self) -> Result<Vec<PathBuf>, RegistryError> {
        let Some(disk) = &self.disk else {
            return Ok(Vec::new());
        };
        let entries = |folder: &Path| -> Result<Vec<PathBuf>, RegistryError> {
            let list = std::fs::read_dir(folder).map_err(RegistryError::io("list", folder))?;
            list.map(|entry| Ok(entry.map_err(RegistryError::io("list", folder))?.path()))
                .collect()
        };
        let mut found = Vec::new();
        for path in entries(&disk.folder)? {
            if !path.is_dir() {
                found.push(path);
                continue;
            }
            for file in entries(&path)? {
                let place = file.strip_prefix(&disk.folder).ok();
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

    /// Bytes read and bytes written since these blobs were opened.
    pub fn traffic(&self) -> (u64, u64) {
        let [read, written] = [0, 1].map(|at: usize| self.traffic[at].load(Ordering::Relaxed));
        (read, written)
    }

    /// Whether the bytes are there, without reading them.
    ///
    /// # Errors
    /// [`RegistryError::Objects`].
    pub async fn has(&self, digest: Digest) -> Result<bool, RegistryError> {
        match self.objects.head(&location(digest)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Disk {
    fn unsynced(&self) -> MutexGuard<'_, BTreeSet<Digest>> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn sync(&self, digests: &BTreeSet<Digest>) -> Result<(), RegistryError> {
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
fn location(digest: Digest) -> Location {
    let name = digest.to_string();
    let (folder, rest) = name.split_at(2);
    Location::from_iter([folder, rest])
}

/// The digest that an object's place stands for.
fn digest_of(place: &Location) -> Option<Digest> {
    let parts: Vec<String> = place.parts().map(|p| p.as_ref().to_owned()).collect();
    let digest: Digest = parts.concat().parse().ok()?;
    (location(digest) == *place).then_some(digest)
}
