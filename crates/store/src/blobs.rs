//! Bytes by content.

use std::path::Path;
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as Location;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions};

use crate::{Digest, StoreError};

/// Blobs named by their digest, on any `object_store` backend: immutable, written atomically, and
/// checked against their name when read.
#[derive(Debug, Clone)]
pub struct Blobs {
    objects: Arc<dyn ObjectStore>,
}

impl Blobs {
    /// Blobs in a folder that is there already. Writes reach the disk before they are reported.
    ///
    /// # Errors
    /// [`StoreError::Objects`] when the folder cannot be used.
    pub fn in_folder(folder: &Path) -> Result<Self, StoreError> {
        let local = LocalFileSystem::new_with_prefix(folder)?.with_fsync(true);
        Ok(Self {
            objects: Arc::new(local),
        })
    }

    /// Blobs in memory.
    pub fn in_memory() -> Self {
        Self {
            objects: Arc::new(InMemory::new()),
        }
    }

    /// Stores bytes; does nothing when they are there already.
    ///
    /// # Errors
    /// [`StoreError::Objects`].
    pub async fn put(&self, bytes: Vec<u8>) -> Result<Digest, StoreError> {
        let digest = Digest::of(&bytes);
        if self.has(digest).await? {
            return Ok(digest);
        }
        // Two writers of one blob write the same bytes, so the later may replace the earlier: on a
        // disk that is a rename, where refusing to would be a link and an unlink.
        let options = PutOptions::from(PutMode::Overwrite);
        self.objects
            .put_opts(&location(digest), bytes.into(), options)
            .await?;
        Ok(digest)
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
        if Digest::of(&bytes) != digest {
            return Err(StoreError::Damaged(digest));
        }
        Ok(bytes.into())
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

/// Spread over 256 folders, so that no folder grows too large.
fn location(digest: Digest) -> Location {
    let name = digest.to_string();
    let (folder, rest) = name.split_at(2);
    Location::from_iter([folder, rest])
}
