//! Bytes by content.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use futures::stream::{self, TryStreamExt};

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as Location;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use crate::{Digest, StoreError};

/// Files brought to the disk at a time.
const CONCURRENT: usize = 16;

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
    /// [`StoreError::Objects`] when the folder cannot be used.
    pub fn in_folder(folder: &Path) -> Result<Self, StoreError> {
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
        Self {
            objects: Arc::new(InMemory::new()),
            disk: None,
            traffic: Arc::default(),
        }
    }

    /// Stores bytes. What is there already is read and compared first: a write that a loss of power
    /// cut short is made good here.
    ///
    /// # Errors
    /// [`StoreError::Objects`].
    pub async fn put(&self, bytes: Vec<u8>) -> Result<Digest, StoreError> {
        let digest = Digest::of(&bytes);
        let there = match self.objects.head(&location(digest)).await {
            Err(object_store::Error::NotFound { .. }) => false,
            other => other?.size == bytes.len() as u64 && self.get(digest).await.is_ok(),
        };
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
    /// [`StoreError::Io`]; what could not be brought there is tried again next time.
    pub async fn sync(&self) -> Result<(), StoreError> {
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
    /// [`StoreError::Missing`], [`StoreError::Damaged`] when they are not what their name says, or
    /// [`StoreError::Objects`].
    pub async fn get(&self, digest: Digest) -> Result<Vec<u8>, StoreError> {
        let result = match self.objects.get(&location(digest)).await {
            Err(object_store::Error::NotFound { .. }) => return Err(StoreError::Missing(digest)),
            other => other?,
        };
        let bytes = result.bytes().await?;
        self.traffic[0].fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if Digest::of(&bytes) != digest {
            return Err(StoreError::Damaged(digest));
        }
        Ok(bytes.into())
    }

    /// Bytes read and bytes written since these blobs were opened.
    pub fn traffic(&self) -> (u64, u64) {
        let [read, written] = [0, 1].map(|at: usize| self.traffic[at].load(Ordering::Relaxed));
        (read, written)
    }

    /// Whether the bytes are there, without reading them.
    ///
    /// # Errors
    /// [`StoreError::Objects`].
    pub async fn has(&self, digest: Digest) -> Result<bool, StoreError> {
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

    async fn sync(&self, digests: &BTreeSet<Digest>) -> Result<(), StoreError> {
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

async fn sync_all(paths: impl IntoIterator<Item = PathBuf>) -> Result<(), StoreError> {
    stream::iter(paths)
        .map(|path| async move {
            let task = tokio::task::spawn_blocking(move || {
                let synced = File::open(&path).and_then(|file| file.sync_all());
                synced.map_err(StoreError::io("bring to the disk", &path))
            });
            match task.await {
                Ok(done) => done,
                Err(error) => Err(StoreError::io("bring to the disk", "the objects")(
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
