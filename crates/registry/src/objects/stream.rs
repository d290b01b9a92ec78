//! Objects that are too large to be held in memory: written and read piece by piece.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use disinherit_formats::for_pieces;
use tempfile::NamedTempFile;

use crate::crash;
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::objects::blobs::{Blobs, SMALL};
use crate::objects::disk::{Disk, location};

/// An object on its way, whose digest is known when all of it is written.
pub(crate) struct ObjectWriter {
    hasher: blake3::Hasher,
    written: u64,
    kept: Kept,
}

/// Where what is written is.
enum Kept {
    /// Nowhere: only the digest is wanted.
    Nowhere,
    Memory(Vec<u8>),
    File(NamedTempFile),
}

impl ObjectWriter {
    /// A writer that keeps nothing.
    pub(crate) fn nowhere() -> Self {
        Self::new(Kept::Nowhere)
    }

    fn new(kept: Kept) -> Self {
        Self {
            hasher: blake3::Hasher::new(),
            written: 0,
            kept,
        }
    }
}

impl Write for ObjectWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = match &mut self.kept {
            Kept::Nowhere => bytes.len(),
            Kept::Memory(kept) => kept.write(bytes)?,
            Kept::File(file) => file.write(bytes)?,
        };
        self.hasher.update(&bytes[..count]);
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.kept {
            Kept::File(file) => file.flush(),
            Kept::Nowhere | Kept::Memory(_) => Ok(()),
        }
    }
}

impl Blobs {
    /// A writer for an object: on a disk into a file that takes its place when all of it is there, elsewhere into
    /// memory.
    pub(crate) fn writer(&self) -> Result<ObjectWriter, RegistryError> {
        let kept = match &self.disk {
            Some(disk) => Kept::File(disk.temporary()?),
            None => Kept::Memory(Vec::new()),
        };
        Ok(ObjectWriter::new(kept))
    }

    /// Keeps what was written, unless it is there already.
    pub(crate) async fn keep(&self, writer: ObjectWriter) -> Result<Digest, RegistryError> {
        let digest = Digest::from_hasher(&writer.hasher);
        match (writer.kept, &self.disk) {
            (Kept::Memory(bytes), _) => self.put_named(digest, bytes).await?,
            (Kept::File(file), Some(disk)) => {
                let there = disk.holds(digest, writer.written)?;
                crash::point("object");
                if !there {
                    disk.persist(digest, file)?;
                    self.traffic[1].fetch_add(writer.written, Ordering::Relaxed);
                }
                disk.unsynced().insert(location(digest));
            }
            (Kept::Nowhere | Kept::File(_), _) => {}
        }
        Ok(digest)
    }

    /// Whether an object of this length lies alone on the disk, and is whole. One that does is brought to the disk
    /// with what is written.
    pub(crate) fn holds(&self, digest: Digest, length: u64) -> Result<bool, RegistryError> {
        let Some(disk) = &self.disk else {
            return Ok(false);
        };
        let holds = disk.holds(digest, length)?;
        if holds {
            disk.unsynced().insert(location(digest));
        }
        Ok(holds)
    }

    /// The file that an object lies alone in, where it is large and on a disk. Its bytes are those that its name says.
    ///
    /// # Errors
    /// [`RegistryError::Damaged`] or [`RegistryError::Io`].
    pub(crate) fn file(&self, digest: Digest) -> Result<Option<PathBuf>, RegistryError> {
        let Some((path, mut file)) = self.large(digest)? else {
            return Ok(None);
        };
        let found = Digest::from_reader(&mut file).map_err(RegistryError::io("read", &path))?;
        match found == digest {
            true => Ok(Some(path)),
            false => Err(RegistryError::Damaged(digest)),
        }
    }

    /// Writes the bytes of an object. What `out` says is outside, what else goes wrong inside: what was written is of
    /// no use then.
    pub(crate) async fn copy(
        &self,
        digest: Digest,
        out: &mut dyn Write,
    ) -> io::Result<Result<(), RegistryError>> {
        let (path, mut file) = match self.large(digest) {
            Ok(Some(found)) => found,
            Ok(None) => {
                return match self.get(digest).await {
                    Ok(bytes) => out.write_all(&bytes).map(Ok),
                    Err(error) => Ok(Err(error)),
                };
            }
            Err(error) => return Ok(Err(error)),
        };
        let mut hasher = blake3::Hasher::new();
        let copied = for_pieces(&mut file, |piece| {
            hasher.update(piece);
            self.traffic[0].fetch_add(piece.len() as u64, Ordering::Relaxed);
            out.write_all(piece).map_err(Failed::Writing)
        });
        match copied {
            Err(Failed::Writing(error)) => Err(error),
            Err(Failed::Reading(error)) => Ok(Err(RegistryError::io("read", &path)(error))),
            Ok(()) if Digest::from_hasher(&hasher) == digest => Ok(Ok(())),
            Ok(()) => Ok(Err(RegistryError::Damaged(digest))),
        }
    }

    /// The open file of a large object on a disk: no pack has those.
    fn large(&self, digest: Digest) -> Result<Option<(PathBuf, File)>, RegistryError> {
        let Some(disk) = &self.disk else {
            return Ok(None);
        };
        let path = disk.path(digest);
        let Ok(file) = File::open(&path) else {
            return Ok(None);
        };
        let known = file.metadata().map_err(RegistryError::io("read", &path))?;
        Ok((known.len() > SMALL as u64).then_some((path, file)))
    }
}

/// What went wrong with a copy.
enum Failed {
    Reading(io::Error),
    Writing(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Reading(error)
    }
}

impl Disk {
    /// A new file in the folder, for all to read whom the process lets.
    fn temporary(&self) -> Result<NamedTempFile, RegistryError> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".writing-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // Less what the process's mask takes away, as for every other object.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let made = builder.tempfile_in(self.folder());
        made.map_err(RegistryError::io("write into", self.folder()))
    }

    /// Whether an object lies here, as long as it must be and whole.
    fn holds(&self, digest: Digest, length: u64) -> Result<bool, RegistryError> {
        let path = self.path(digest);
        let Ok(mut file) = File::open(&path) else {
            return Ok(false);
        };
        let mut is_whole = || {
            let long = file.metadata()?.len() == length;
            Ok::<_, io::Error>(long && Digest::from_reader(&mut file)? == digest)
        };
        is_whole().map_err(RegistryError::io("read", &path))
    }

    /// Gives a file its place.
    fn persist(&self, digest: Digest, file: NamedTempFile) -> Result<(), RegistryError> {
        let path = self.path(digest);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(RegistryError::io("make", folder))?;
        }
        file.persist(&path)
            .map_err(|error| RegistryError::io("write", &path)(error.error))?;
        Ok(())
    }
}
