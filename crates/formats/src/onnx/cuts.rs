//! Files whose tensors are taken out and put back, with every other byte as it was.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::source::TensorSource;
use crate::tensor::{Dtype, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::FormatError;
use crate::onnx::graph::Weight;

/// A tensor that was taken out of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The tensor's name.
    pub tensor: String,
    /// Where its bytes belong in the rest of the file.
    pub at: u64,
    /// Whether the file has it `[inputs, outputs]`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub transposed: bool,
}

/// A file with tensors in it.
pub(crate) struct CutFile {
    path: PathBuf,
    size: u64,
    /// By name, and whether the file has it `[inputs, outputs]`.
    weights: BTreeMap<String, (Weight, bool)>,
}

impl CutFile {
    /// A file whose tensors all have known places. They must lie in the file, and apart.
    pub(super) fn new(
        path: &Path,
        size: u64,
        weights: BTreeMap<String, (Weight, bool)>,
    ) -> Result<Self, FormatError> {
        let file = Self {
            path: path.to_owned(),
            size,
            weights,
        };
        let mut end = 0;
        for (name, place) in file.places() {
            if place.start < end || place.end > size {
                return Err(FormatError::file(
                    path,
                    format!(
                        "its weight `{name}` lies where there is no room for it: the file is torn, or \
                         two weights share their place; save it again"
                    ),
                ));
            }
            end = place.end;
        }
        Ok(file)
    }

    /// Names and places, in the order of the places.
    fn places(&self) -> Vec<(&String, Range<u64>)> {
        let weights = self.weights.iter();
        let mut list: Vec<_> = weights
            .map(|(name, (weight, _))| (name, weight.place.clone()))
            .collect();
        list.sort_by_key(|(_, place)| (place.start, place.end));
        list
    }

    /// How the file is put together again.
    pub(super) fn cuts(&self) -> Vec<Cut> {
        let mut taken = 0;
        self.places()
            .into_iter()
            .map(|(tensor, place)| {
                let at = place.start - taken;
                taken += place.end - place.start;
                Cut {
                    tensor: tensor.clone(),
                    at,
                    transposed: self.weights[tensor].1,
                }
            })
            .collect()
    }

    /// The file without the tensors.
    pub(crate) fn rest(&self) -> Result<Vec<u8>, FormatError> {
        let mut rest = Vec::new();
        let mut from = 0;
        for (_, place) in self.places() {
            rest.extend(self.read(from..place.start)?);
            from = place.end;
        }
        rest.extend(self.read(from..self.size)?);
        Ok(rest)
    }

    fn read(&self, place: Range<u64>) -> Result<Vec<u8>, FormatError> {
        let length = place.end - place.start;
        let mut bytes = Vec::new();
        let mut read = || -> std::io::Result<()> {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(place.start))?;
            file.take(length).read_to_end(&mut bytes)?;
            Ok(())
        };
        read().map_err(FormatError::unreadable(&self.path))?;
        if bytes.len() as u64 == length {
            return Ok(bytes);
        }
        Err(FormatError::file(
            &self.path,
            "it has become shorter while it was read",
        ))
    }
}

impl TensorSource for CutFile {
    fn tensors(&self) -> BTreeMap<String, (Dtype, Vec<usize>)> {
        let weights = self.weights.iter();
        weights
            .map(|(name, (weight, _))| (name.clone(), (weight.dtype, weight.shape.clone())))
            .collect()
    }

    fn tensor(&self, name: &str) -> Result<Tensor, FormatError> {
        let refuse = |reason: String| FormatError::Checkpoint {
            path: self.path.clone(),
            reason,
        };
        let known = self.weights.get(name);
        let (weight, transposed) =
            known.ok_or_else(|| refuse(format!("it has no weight `{name}`")))?;
        let bytes = self.read(weight.place.clone());
        let tensor = Tensor {
            dtype: weight.dtype,
            shape: weight.shape.clone(),
            bytes: bytes.map_err(|error| refuse(error.to_string()))?,
        };
        // The file has `[inputs, outputs]`.
        Ok(if *transposed {
            turned(&tensor, true)
        } else {
            tensor
        })
    }
}

/// A matrix with rows and columns exchanged in its bytes. `shape` is that of the result where
/// `from_file`, else that of the source.
pub(super) fn turned(tensor: &Tensor, from_file: bool) -> Tensor {
    let [mut rows, mut cols] = tensor.shape[..] else {
        return tensor.clone();
    };
    if from_file {
        (rows, cols) = (cols, rows);
    }
    let size = tensor.dtype.bitsize() / 8;
    if tensor.bytes.len() != rows * cols * size {
        return tensor.clone();
    }
    let mut bytes = Vec::with_capacity(tensor.bytes.len());
    for col in 0..cols {
        for row in 0..rows {
            let at = (row * cols + col) * size;
            bytes.extend_from_slice(&tensor.bytes[at..at + size]);
        }
    }
    Tensor {
        bytes,
        ..tensor.clone()
    }
}

/// Writes a file from its rest and the tensors that belong into it.
pub(crate) fn assemble(
    cuts: &[Cut],
    rest: &[u8],
    tensor: &dyn Fn(&str) -> Result<Tensor, FormatError>,
) -> Result<Vec<u8>, FormatError> {
    let mut bytes = Vec::new();
    let mut from = 0;
    for cut in cuts {
        let found = tensor(&cut.tensor)?;
        let at = usize::try_from(cut.at).unwrap_or(usize::MAX);
        let piece = rest.get(from..at).ok_or_else(|| {
            FormatError::file(Path::new(&cut.tensor), "its place in the file is not there")
        })?;
        bytes.extend_from_slice(piece);
        from = at;
        if cut.transposed {
            bytes.extend(turned(&found, false).bytes);
        } else {
            bytes.extend(found.bytes);
        }
    }
    bytes.extend_from_slice(&rest[from..]);
    Ok(bytes)
}
