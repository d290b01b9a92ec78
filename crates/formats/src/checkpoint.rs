//! Checkpoint files: safetensors in and out.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use safetensors::serialize;
use safetensors::tensor::{Metadata, TensorInfo, TensorView};

use crate::error::FormatError;
use crate::source::TensorSource;
use crate::tensor::{Dtype, Tensor, byte_length};

/// The largest header that is read, as in the safetensors library.
const LARGEST_HEADER: u64 = 100_000_000;

/// A safetensors file whose header has been read and believed: it fits the file's length, and every
/// tensor's shape fits its bytes. Tensors are read one at a time, so a file may be larger than memory.
#[derive(Debug)]
pub struct Checkpoint {
    path: PathBuf,
    file: File,
    /// Where the tensors' bytes begin.
    start: u64,
    header: Metadata,
    /// The header as it stands in the file, with its length in front.
    text: Vec<u8>,
}

impl Checkpoint {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// [`FormatError::Io`], or [`FormatError::Checkpoint`] naming the file and what is wrong.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        let refuse = |reason: String| FormatError::Checkpoint {
            path: path.to_owned(),
            reason,
        };
        let read = |source| FormatError::io("read", path)(source);
        let mut file = File::open(path).map_err(read)?;
        let length = file.metadata().map_err(read)?.len();
        let mut size = [0; 8];
        if length < 8 {
            return Err(refuse("it is too short for a header".into()));
        }
        file.read_exact(&mut size).map_err(read)?;
        let mut whole = size.to_vec();
        let size = u64::from_le_bytes(size);
        if size > LARGEST_HEADER || size > length - 8 {
            return Err(refuse(format!(
                "its header claims {size} bytes, the file has {length}"
            )));
        }
        let mut text = vec![0; size as usize];
        file.read_exact(&mut text).map_err(read)?;
        let header: Metadata = serde_json::from_slice(&text)
            .map_err(|error| refuse(format!("its header cannot be used: {error}")))?;
        let expected = (header.data_len() as u64).checked_add(size + 8);
        if expected != Some(length) {
            return Err(refuse(format!(
                "its tensors take {} bytes, the file has {} for them",
                header.data_len(),
                length - 8 - size
            )));
        }
        if header.tensors().is_empty() {
            return Err(refuse("it holds no tensors".into()));
        }
        whole.extend(text);
        Ok(Self {
            path: path.to_owned(),
            file,
            start: size + 8,
            header,
            text: whole,
        })
    }

    /// What stands in front of the tensors' bytes.
    pub fn preamble(&self) -> &[u8] {
        &self.text
    }

    /// The names of the tensors in the order of their bytes.
    pub fn order(&self) -> Vec<String> {
        let mut places: Vec<(usize, String)> = self
            .header
            .tensors()
            .into_iter()
            .map(|(name, info)| (info.data_offsets.0, name))
            .collect();
        // Tensors without elements share a place with the next.
        places.sort_by_key(|(start, name)| (*start, self.length(name)));
        places.into_iter().map(|(_, name)| name).collect()
    }

    fn info(&self, name: &str) -> Result<&TensorInfo, FormatError> {
        self.header
            .info(name)
            .ok_or_else(|| FormatError::Checkpoint {
                path: self.path.clone(),
                reason: format!("it has no tensor `{name}`"),
            })
    }

    /// Bytes of the tensors' part of the file.
    fn section(&self, from: usize, to: usize) -> Section<'_> {
        Section {
            file: &self.file,
            at: self.start + from as u64,
            end: self.start + to as u64,
        }
    }

    /// What the file says of itself.
    pub fn metadata(&self) -> HashMap<String, String> {
        self.header.metadata().clone().unwrap_or_default()
    }

    /// Some bytes of one tensor.
    ///
    /// # Errors
    /// As [`TensorSource::tensor`], or [`FormatError::Checkpoint`] when the tensor ends before.
    pub fn part(&self, name: &str, bytes: Range<usize>) -> Result<Vec<u8>, FormatError> {
        let (from, to) = self.info(name)?.data_offsets;
        if bytes.start > bytes.end || bytes.end > to - from {
            return Err(FormatError::Checkpoint {
                path: self.path.clone(),
                reason: format!("`{name}` has no bytes {bytes:?}"),
            });
        }
        let mut read = vec![0; bytes.len()];
        self.section(from + bytes.start, from + bytes.end)
            .read_exact(&mut read)
            .map_err(FormatError::io("read", &self.path))?;
        Ok(read)
    }

    fn length(&self, name: &str) -> usize {
        let info = self.header.info(name);
        info.map_or(0, |info| info.data_offsets.1 - info.data_offsets.0)
    }
}

impl TensorSource for Checkpoint {
    fn tensors(&self) -> BTreeMap<String, (Dtype, Vec<usize>)> {
        let tensors = self.header.tensors().into_iter();
        tensors
            .map(|(name, info)| (name, (info.dtype, info.shape.clone())))
            .collect()
    }

    fn tensor(&self, name: &str) -> Result<Tensor, FormatError> {
        let info = self.info(name)?;
        let (from, to) = info.data_offsets;
        let bytes = self.part(name, 0..to - from)?;
        Ok(Tensor {
            dtype: info.dtype,
            shape: info.shape.clone(),
            bytes,
        })
    }

    fn reader(&self, name: &str) -> Result<Box<dyn Read + '_>, FormatError> {
        let (from, to) = self.info(name)?.data_offsets;
        Ok(Box::new(self.section(from, to)))
    }
}

/// A part of a file, to be read in order.
struct Section<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let wanted = (self.end - self.at).min(buffer.len() as u64);
        self.file.seek(SeekFrom::Start(self.at))?;
        let read = self.file.read(&mut buffer[..wanted as usize])?;
        if read == 0 && wanted > 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        self.at += read as u64;
        Ok(read)
    }
}

/// Reads a whole safetensors file.
///
/// # Errors
/// As [`Checkpoint::open`].
pub fn read_checkpoint(path: &Path) -> Result<BTreeMap<String, Tensor>, FormatError> {
    let file = Checkpoint::open(path)?;
    let names = file.tensors().into_keys();
    names
        .map(|name| {
            let tensor = file.tensor(&name)?;
            Ok((name, tensor))
        })
        .collect()
}

/// Writes a safetensors file, as [`write_file`] does.
///
/// # Errors
/// [`FormatError::Io`] or [`FormatError::Checkpoint`].
pub fn write_checkpoint(
    path: &Path,
    tensors: &BTreeMap<String, Tensor>,
    metadata: HashMap<String, String>,
) -> Result<(), FormatError> {
    let bytes = to_safetensors(tensors, metadata).map_err(|reason| FormatError::Checkpoint {
        path: path.to_owned(),
        reason,
    })?;
    write_file(path, &bytes)
}

/// Writes a file: to a temporary one beside it first, then into place, so that a reader never sees
/// half of it.
///
/// # Errors
/// [`FormatError::Io`].
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), FormatError> {
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut file =
        tempfile::NamedTempFile::new_in(folder).map_err(FormatError::io("write into", folder))?;
    file.write_all(bytes)
        .map_err(FormatError::io("write", path))?;
    file.as_file()
        .sync_all()
        .map_err(FormatError::io("write", path))?;
    file.persist(path)
        .map_err(|error| FormatError::io("write", path)(error.error))?;
    Ok(())
}

/// What stands in front of the bytes of tensors that follow one another by name.
///
/// # Errors
/// A sentence when the header cannot be made.
pub fn preamble<'a>(
    tensors: impl IntoIterator<Item = (&'a str, Dtype, &'a [usize])>,
    metadata: HashMap<String, String>,
) -> Result<Vec<u8>, String> {
    let mut end = 0usize;
    let infos = tensors
        .into_iter()
        .map(|(name, dtype, shape)| {
            let bytes = byte_length(dtype, shape).and_then(|bytes| usize::try_from(bytes).ok());
            let start = end;
            end = bytes
                .and_then(|bytes| start.checked_add(bytes))
                .ok_or_else(|| format!("`{name}` is too large"))?;
            let info = TensorInfo {
                dtype,
                shape: shape.to_vec(),
                data_offsets: (start, end),
            };
            Ok((name.to_owned(), info))
        })
        .collect::<Result<Vec<_>, String>>()?;
    let header = Metadata::new(Some(metadata), infos).map_err(|error| error.to_string())?;
    let mut text = serde_json::to_vec(&header).map_err(|error| error.to_string())?;
    // So that the tensors begin at a multiple of eight bytes.
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend(text);
    Ok(bytes)
}

/// The bytes of a safetensors file.
///
/// # Errors
/// A sentence when a shape does not fit its bytes.
pub fn to_safetensors(
    tensors: &BTreeMap<String, Tensor>,
    metadata: HashMap<String, String>,
) -> Result<Vec<u8>, String> {
    let views: Result<Vec<(&String, TensorView<'_>)>, _> = tensors
        .iter()
        .map(|(name, tensor)| {
            TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes)
                .map(|view| (name, view))
        })
        .collect();
    let views = views.map_err(|error| error.to_string())?;
    serialize(views, Some(metadata)).map_err(|error| error.to_string())
}
