//! Large tensors, some of their bytes at a time.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::PathBuf;

use disinherit_formats::{TensorSource, for_pieces};

use crate::digest::Digest;
use crate::error::RegistryError;
use crate::objects::read::ReadObject;
use crate::objects::stream::ObjectWriter;
use crate::objects::tensor_refs::TensorRef;
use crate::registry::Registry;

/// A stored tensor that is read some bytes at a time. On a disk no more of it is in memory.
pub struct StoredTensor {
    bytes: Bytes,
}

enum Bytes {
    File(PathBuf, File),
    Memory(Vec<u8>),
}

impl StoredTensor {
    /// Some of its bytes.
    ///
    /// # Errors
    /// [`RegistryError::Io`], also where it ends before.
    pub fn part(&mut self, range: Range<u64>) -> Result<Vec<u8>, RegistryError> {
        match &mut self.bytes {
            Bytes::Memory(bytes) => bytes
                .get(range.start as usize..range.end as usize)
                .map(<[u8]>::to_vec)
                .ok_or_else(|| {
                    RegistryError::io("read", "a tensor")(io::ErrorKind::UnexpectedEof.into())
                }),
            Bytes::File(path, file) => {
                let mut part = vec![0; (range.end - range.start) as usize];
                file.seek(SeekFrom::Start(range.start))
                    .and_then(|_| file.read_exact(&mut part))
                    .map_err(RegistryError::io("read", &*path))?;
                Ok(part)
            }
        }
    }
}

/// A tensor on its way into a registry, written piece by piece. Nothing refers to it until a manifest does.
pub struct TensorWriter<'a> {
    registry: &'a Registry,
    object: ObjectWriter,
}

impl Write for TensorWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.object.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.object.flush()
    }
}

impl TensorWriter<'_> {
    /// The tensor, which is stored now.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn finish(self) -> Result<Digest, RegistryError> {
        self.registry.wait(self.registry.blobs().keep(self.object))
    }
}

impl Registry {
    /// Writes a tensor piece by piece, or only finds out its digest where `keep` does not hold.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn tensor_writer(&self, keep: bool) -> Result<TensorWriter<'_>, RegistryError> {
        let object = match keep {
            true => {
                self.writes()?;
                self.blobs().writer()?
            }
            false => ObjectWriter::nowhere(),
        };
        Ok(TensorWriter {
            registry: self,
            object,
        })
    }

    /// A stored tensor, to be read some bytes at a time.
    ///
    /// # Errors
    /// [`RegistryError::Missing`], [`RegistryError::Damaged`], or what the storage says.
    pub fn stored_tensor(&self, reference: &TensorRef) -> Result<StoredTensor, RegistryError> {
        let bytes = match self.blobs().file(reference.digest)? {
            Some(path) => {
                let file = File::open(&path).map_err(RegistryError::io("read", &path))?;
                Bytes::File(path, file)
            }
            None => Bytes::Memory(self.object(reference.digest)?),
        };
        Ok(StoredTensor { bytes })
    }

    /// Writes the bytes of a stored tensor. What `out` says is outside, what else goes wrong inside: what was written
    /// is of no use then.
    ///
    /// # Errors
    /// As [`Registry::stored_tensor`].
    pub fn copy_tensor(
        &self,
        reference: &TensorRef,
        out: &mut dyn Write,
    ) -> io::Result<Result<(), RegistryError>> {
        self.wait(self.blobs().copy(reference.digest, out))
    }

    /// Stores a large tensor from where it is. What is there already is not written again.
    pub(crate) fn put_large(
        &self,
        file: &dyn TensorSource,
        name: &str,
        length: u64,
    ) -> Result<Digest, RegistryError> {
        let read = |error| RegistryError::io("read", name)(error);
        let known = Digest::from_reader(&mut *file.reader(name)?).map_err(read)?;
        if self.blobs().holds(known, length)? {
            return Ok(known);
        }
        let mut writer = self.blobs().writer()?;
        for_pieces(&mut *file.reader(name)?, |piece| writer.write_all(piece))
            .map_err(RegistryError::io("store", name))?;
        self.wait(self.blobs().keep(writer))
    }
}
