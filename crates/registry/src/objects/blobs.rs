//! Bytes by content.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use futures::StreamExt;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as Location;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use crate::crash;
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::objects::disk::{Disk, digest_of, location};
use crate::objects::packs::Packs;
use crate::objects::window::Window;
use crate::place::storage::{Site, Storage};

/// The most bytes of an object that is small: it may lie in a pack, and over a network it is sent without asking
/// whether it is there.
pub(crate) const SMALL: usize = 256 << 10;

/// Blobs named by their digest, on any `object_store` backend: immutable, written atomically, and
/// checked against their name when read. Many small ones that are written together lie in packs. On a disk
/// they are certain to survive a loss of power once [`Blobs::sync`] has returned.
#[derive(Debug, Clone)]
pub struct Blobs {
    pub(super) objects: Arc<dyn ObjectStore>,
    pub(super) disk: Option<Arc<Disk>>,
    remote: bool,
    /// Which objects lie in packs.
    pub(super) packs: Arc<Packs>,
    /// What was read of packs.
    pub(super) window: Arc<Window>,
    /// When this process said that it writes, in milliseconds since 1970-01-01 UTC: what was written before may
    /// be removed at any time.
    since: Arc<AtomicU64>,
    /// What errors of shared storage are told with.
    site: Arc<Site>,
    /// Bytes read and written so far.
    pub(super) traffic: Arc<[AtomicU64; 2]>,
}

/// An object that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Its digest, if it is whole.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written, or the pack that it lies in; the last of these where it lies in several places.
    pub written: SystemTime,
}

impl Blobs {
    /// Blobs in a folder that is there already.
    ///
    /// # Errors
    /// [`RegistryError::Objects`] when the folder cannot be used.
    pub fn in_folder(folder: &Path) -> Result<Self, RegistryError> {
        let objects = Arc::new(LocalFileSystem::new_with_prefix(folder)?);
        Ok(Self {
            disk: Some(Arc::new(Disk::new(folder))),
            ..Self::on(objects)
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
            remote: false,
            packs: Arc::default(),
            window: Arc::default(),
            since: Arc::new(AtomicU64::new(u64::MAX)),
            site: Arc::default(),
            traffic: Arc::default(),
        }
    }

    /// The same blobs as another process sees them.
    #[must_use]
    pub fn fresh(&self) -> Self {
        Self {
            packs: Arc::default(),
            window: Arc::default(),
            since: Arc::new(AtomicU64::new(u64::MAX)),
            traffic: Arc::default(),
            ..self.clone()
        }
    }

    /// Blobs on shared storage whose errors can be told with where it is.
    pub(crate) fn on_storage(storage: Storage) -> Self {
        Self {
            site: Arc::new(storage.site),
            remote: true,
            ..Self::on(storage.objects)
        }
    }

    /// What an error of the storage means.
    pub(super) fn failed(&self, error: object_store::Error) -> RegistryError {
        self.site.explain(error)
    }

    /// Stores bytes. What is there already is read and compared first: a write that a loss of power
    /// cut short is repaired here.
    ///
    /// # Errors
    /// [`RegistryError::Objects`].
    pub async fn put(&self, bytes: Vec<u8>) -> Result<Digest, RegistryError> {
        let digest = Digest::from_content(&bytes);
        self.put_named(digest, bytes).await?;
        Ok(digest)
    }

    /// [`Blobs::put`] for bytes whose digest is known.
    pub(super) async fn put_named(
        &self,
        digest: Digest,
        bytes: Vec<u8>,
    ) -> Result<(), RegistryError> {
        let there = !self.is_sent_unasked(&bytes) && self.is_whole(digest, &bytes).await?;
        crash::point("object");
        if !there {
            self.write(location(digest), bytes).await?;
        } else if let Some(disk) = &self.disk {
            disk.unsynced().insert(location(digest));
        }
        Ok(())
    }

    /// Writes a file. Two writers of one name write the same bytes, so the later may replace the earlier.
    pub(super) async fn write(
        &self,
        location: Location,
        bytes: Vec<u8>,
    ) -> Result<(), RegistryError> {
        let options = PutOptions::from(PutMode::Overwrite);
        self.traffic[1].fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.objects
            .put_opts(&location, bytes.into(), options)
            .await
            .map_err(|error| self.failed(error))?;
        if let Some(disk) = &self.disk {
            disk.unsynced().insert(location);
        }
        Ok(())
    }

    /// Whether bytes are so few that over a network asking for them takes as long as sending them.
    fn is_sent_unasked(&self, bytes: &[u8]) -> bool {
        self.remote && bytes.len() <= SMALL
    }

    /// Whether these bytes lie alone there, and will be as long as the writer needs them.
    pub(super) async fn is_whole(
        &self,
        digest: Digest,
        bytes: &[u8],
    ) -> Result<bool, RegistryError> {
        Ok(match self.objects.head(&location(digest)).await {
            Err(object_store::Error::NotFound { .. }) => false,
            other => {
                let known = other.map_err(|error| self.failed(error))?;
                let written = SystemTime::from(known.last_modified);
                known.size == bytes.len() as u64
                    && (self.disk.is_some() || self.is_ours(written))
                    && self.alone(digest).await.is_ok()
            }
        })
    }

    /// Whether what was written then stays until this process is done.
    pub(super) fn is_ours(&self, written: SystemTime) -> bool {
        let since = Duration::from_millis(self.since.load(Ordering::SeqCst));
        written
            .duration_since(SystemTime::UNIX_EPOCH)
            .is_ok_and(|written| written >= since)
    }

    /// Where they are.
    pub(crate) fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.objects)
    }

    /// Where the time is kept at which this process said that it writes.
    pub(crate) fn since(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.since)
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
        let files = std::mem::take(&mut *disk.unsynced());
        let done = disk.sync(&files).await;
        if done.is_err() {
            disk.unsynced().extend(files);
        }
        done
    }

    /// The bytes with this digest, whether they lie alone or in a pack.
    ///
    /// # Errors
    /// [`RegistryError::Missing`], [`RegistryError::Damaged`] when they are not what their name says, or
    /// [`RegistryError::Objects`].
    pub async fn get(&self, digest: Digest) -> Result<Vec<u8>, RegistryError> {
        let looked = match self.packs.looked() {
            // Over a network it takes an answer to learn that an object does not lie alone.
            0 if self.disk.is_none() => self.look(0).await?,
            looked => looked,
        };
        let packed = self.packed(digest).await;
        let first = match packed {
            Err(RegistryError::Missing(_) | RegistryError::Damaged(_)) => self.alone(digest).await,
            told => return told,
        };
        let again = match first {
            // It may have been put into a pack meanwhile, or its pack written anew.
            Err(RegistryError::Missing(_)) if self.look(looked).await? > looked => {
                self.packed(digest).await
            }
            told => told,
        };
        match (packed, again) {
            (damaged @ Err(RegistryError::Damaged(_)), Err(RegistryError::Missing(_))) => damaged,
            (_, told) => told,
        }
    }

    /// The bytes with this digest, where they lie alone.
    async fn alone(&self, digest: Digest) -> Result<Vec<u8>, RegistryError> {
        let place = location(digest);
        let read = match &self.disk {
            Some(disk) => disk.read(&place)?,
            None => match self.objects.get(&place).await {
                Err(object_store::Error::NotFound { .. }) => None,
                other => {
                    let bytes = other.map_err(|error| self.failed(error))?.bytes().await;
                    Some(bytes.map_err(|error| self.failed(error))?.into())
                }
            },
        };
        self.checked(digest, read.ok_or(RegistryError::Missing(digest))?)
    }

    /// Bytes that were read, where they are what their name says.
    pub(super) fn checked(&self, digest: Digest, bytes: Vec<u8>) -> Result<Vec<u8>, RegistryError> {
        self.traffic[0].fetch_add(bytes.len() as u64, Ordering::Relaxed);
        match Digest::from_content(&bytes) == digest {
            true => Ok(bytes),
            false => Err(RegistryError::Damaged(digest)),
        }
    }

    /// Every object there is, with its size and when it was written.
    ///
    /// # Errors
    /// [`RegistryError::Objects`].
    pub async fn list(&self) -> Result<Vec<Stored>, RegistryError> {
        self.look(self.packs.looked()).await?;
        let alone = self.list_alone().await?.into_iter();
        let mut found: BTreeMap<Digest, Stored> =
            alone.map(|stored| (stored.digest, stored)).collect();
        self.packs.each(|digest, pack, size| {
            let stored = found.entry(digest).or_insert(Stored {
                digest,
                size,
                written: pack.written,
            });
            stored.written = stored.written.max(pack.written);
        });
        Ok(found.into_values().collect())
    }

    /// Every object that lies alone.
    pub(crate) async fn list_alone(&self) -> Result<Vec<Stored>, RegistryError> {
        let mut found = Vec::new();
        let mut list = self.objects.list(None);
        while let Some(meta) = list.next().await {
            let meta = meta.map_err(|error| self.failed(error))?;
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

    /// Whether the objects are in a folder that other processes reach through the same disk only.
    pub(crate) fn on_disk(&self) -> bool {
        self.disk.is_some()
    }

    /// Whether they are reached over a network.
    pub(crate) fn is_remote(&self) -> bool {
        self.remote
    }

    /// Files in the folder that are no objects: what a write leaves that was cut short.
    ///
    /// # Errors
    /// [`RegistryError::Io`].
    pub(crate) fn leftovers(&self) -> Result<Vec<PathBuf>, RegistryError> {
        self.disk
            .as_ref()
            .map_or_else(|| Ok(Vec::new()), |disk| disk.leftovers())
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
        let looked = match self.packs.looked() {
            0 => self.look(0).await?,
            looked => looked,
        };
        if self.packs.has(digest) {
            return Ok(true);
        }
        match self.objects.head(&location(digest)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => {
                self.look(looked).await?;
                Ok(self.packs.has(digest))
            }
            Err(error) => Err(self.failed(error)),
        }
    }
}
