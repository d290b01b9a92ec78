//! Objects in a folder: where each is, and bringing them to the disk for certain.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use futures::stream::{self, TryStreamExt};
use object_store::path::Path as Location;

use crate::digest::Digest;
use crate::error::RegistryError;

/// Files brought to the disk at a time.
const CONCURRENT: usize = 16;

/// Bytes that memory is taken for before they are read.
const LIKELY: u64 = 1 << 20;

/// The folder of packs.
pub(crate) const PACKS: &str = "packs";

/// What was written to a folder and may not have reached the disk yet.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    unsynced: Mutex<BTreeSet<Location>>,
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
                let is_object =
                    |place: &Location| digest_of(place).is_some() || pack_of(place).is_some();
                if !location.as_ref().is_some_and(is_object) {
                    found.push(file);
                }
            }
        }
        Ok(found)
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where an object lies that lies alone.
    pub(crate) fn path(&self, digest: Digest) -> PathBuf {
        self.folder.join(location(digest).as_ref())
    }

    /// What was written and not yet brought to the disk.
    pub(crate) fn unsynced(&self) -> MutexGuard<'_, BTreeSet<Location>> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes of a file, if it is there. The caller waits for them in any case, so that handing the read to
    /// another thread would only take longer.
    ///
    /// # Errors
    /// [`RegistryError::Io`].
    pub(crate) fn read(&self, place: &Location) -> Result<Option<Vec<u8>>, RegistryError> {
        let path = self.folder.join(place.as_ref());
        match std::fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            read => read.map(Some).map_err(RegistryError::io("read", &path)),
        }
    }

    /// Some bytes of a file, if it is there: fewer than were asked for where it ends before.
    ///
    /// # Errors
    /// [`RegistryError::Io`].
    pub(crate) fn read_range(
        &self,
        place: &Location,
        range: &Range<u64>,
    ) -> Result<Option<Vec<u8>>, RegistryError> {
        let path = self.folder.join(place.as_ref());
        let read = || {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(range.start))?;
            let length = range.end.saturating_sub(range.start);
            // What a damaged header claims need not be there.
            let mut bytes = Vec::with_capacity(length.min(LIKELY) as usize);
            file.take(length).read_to_end(&mut bytes)?;
            Ok::<_, std::io::Error>(bytes)
        };
        match read() {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            read => read.map(Some).map_err(RegistryError::io("read", &path)),
        }
    }

    /// Brings these objects and packs and their folders to the disk.
    pub(crate) async fn sync(&self, written: &BTreeSet<Location>) -> Result<(), RegistryError> {
        let mut folders = BTreeSet::new();
        let mut files = Vec::with_capacity(written.len());
        for place in written {
            let path = self.folder.join(place.as_ref());
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

/// Where a pack lies. There are few of them, and they are listed together.
pub(crate) fn pack_location(pack: Digest) -> Location {
    Location::from_iter([PACKS, &pack.to_string()])
}

/// The digest that an object's place stands for.
pub(crate) fn digest_of(place: &Location) -> Option<Digest> {
    let parts: Vec<String> = place.parts().map(|p| p.as_ref().to_owned()).collect();
    let digest: Digest = parts.concat().parse().ok()?;
    (location(digest) == *place).then_some(digest)
}

/// The digest that a pack's place stands for.
pub(crate) fn pack_of(place: &Location) -> Option<Digest> {
    let digest: Digest = place.filename()?.parse().ok()?;
    (pack_location(digest) == *place).then_some(digest)
}
