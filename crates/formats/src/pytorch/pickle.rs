//! A state dict as `torch.save` writes it: a pickle of names, types and shapes, and a file with the
//! bytes of each tensor, together in an archive.

use std::io::{Seek, Write};

use crate::error::FormatError;
use crate::parts::Parts;
use crate::tensor::Dtype;
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

/// The folder that all files of the archive are in, as in `torch.save`.
const FOLDER: &str = "archive";

/// What reads an entry may map into memory.
const ALIGNMENT: u16 = 64;

/// The class of a storage in PyTorch.
fn storage(dtype: Dtype) -> Option<&'static str> {
    Some(match dtype {
        Dtype::F64 => "DoubleStorage",
        Dtype::F32 => "FloatStorage",
        Dtype::F16 => "HalfStorage",
        Dtype::BF16 => "BFloat16Storage",
        Dtype::I64 => "LongStorage",
        Dtype::I32 => "IntStorage",
        Dtype::I16 => "ShortStorage",
        Dtype::I8 => "CharStorage",
        Dtype::U8 => "ByteStorage",
        Dtype::BOOL => "BoolStorage",
        _ => return None,
    })
}

/// Protocol 2, as `torch.save` uses it.
struct Pickle(Vec<u8>);

impl Pickle {
    fn global(&mut self, module: &str, name: &str) {
        self.0.extend(format!("c{module}\n{name}\n").bytes());
    }

    fn text(&mut self, text: &str) {
        self.0.push(b'X');
        self.0.extend((text.len() as u32).to_le_bytes());
        self.0.extend(text.bytes());
    }

    fn integer(&mut self, value: usize) {
        if let Ok(byte) = u8::try_from(value) {
            self.0.extend([b'K', byte]);
        } else if let Ok(word) = i32::try_from(value) {
            self.0.push(b'J');
            self.0.extend(word.to_le_bytes());
        } else {
            // Two's complement with a byte to spare for the sign.
            self.0.extend([0x8a, 9]);
            self.0.extend((value as u64).to_le_bytes());
            self.0.push(0);
        }
    }

    fn tuple(&mut self, values: impl IntoIterator<Item = usize>) {
        self.0.push(b'(');
        for value in values {
            self.integer(value);
        }
        self.0.push(b't');
    }

    fn ordered_dict(&mut self) {
        self.global("collections", "OrderedDict");
        self.0.extend(b")R");
    }

    /// `torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())`.
    fn tensor(&mut self, key: usize, class: &str, shape: &[usize]) {
        self.global("torch._utils", "_rebuild_tensor_v2");
        self.0.extend(b"((");
        self.text("storage");
        self.global("torch", class);
        self.text(&key.to_string());
        self.text("cpu");
        self.integer(shape.iter().product());
        self.0.extend(b"tQ");
        self.integer(0);
        self.tuple(shape.iter().copied());
        let strides: Vec<usize> = (0..shape.len())
            .map(|axis| shape[axis + 1..].iter().product())
            .collect();
        self.tuple(strides);
        // Requires no gradient.
        self.0.push(0x89);
        self.ordered_dict();
        self.0.extend(b"tR");
    }
}

/// Writes a state dict, under a key of a dictionary where there is one. Tensors are asked for one
/// at a time.
pub(crate) fn write(
    out: &mut (impl Write + Seek),
    key: Option<&str>,
    names: &[String],
    parts: &Parts<'_>,
) -> Result<(), PickleError> {
    let mut pickle = Pickle(vec![0x80, 2]);
    if let Some(key) = key {
        pickle.0.push(b'}');
        pickle.text(key);
    }
    pickle.ordered_dict();
    pickle.0.push(b'(');
    for (place, name) in names.iter().enumerate() {
        let (dtype, shape) = (parts.describe)(name)
            .ok_or_else(|| PickleError::Other(format!("it has no tensor `{name}`")))?;
        let class = storage(dtype).ok_or_else(|| {
            PickleError::Other(format!(
                "PyTorch's state dicts have no type for `{name}` ({dtype:?})"
            ))
        })?;
        pickle.text(name);
        pickle.tensor(place, class, &shape);
    }
    pickle.0.push(b'u');
    if key.is_some() {
        pickle.0.push(b's');
    }
    pickle.0.push(b'.');

    let mut archive = ZipWriter::new(out);
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .large_file(true)
        .with_alignment(ALIGNMENT);
    let mut entry = |name: String, content: Content<'_>| -> Result<(), PickleError> {
        archive.start_file(format!("{FOLDER}/{name}"), options)?;
        match content {
            Content::Bytes(bytes) => archive.write_all(bytes)?,
            Content::Tensor(name) => parts.write_tensor(name, &mut archive)??,
        }
        Ok(())
    };
    entry("data.pkl".into(), Content::Bytes(&pickle.0))?;
    entry("byteorder".into(), Content::Bytes(b"little"))?;
    for (place, name) in names.iter().enumerate() {
        entry(format!("data/{place}"), Content::Tensor(name))?;
    }
    entry("version".into(), Content::Bytes(b"3\n"))?;
    archive.finish()?;
    Ok(())
}

/// What an entry of the archive holds.
enum Content<'a> {
    Bytes(&'a [u8]),
    /// The bytes of this tensor.
    Tensor(&'a str),
}

/// Why a state dict cannot be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PickleError {
    #[error("{0}")]
    Other(String),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Archive(#[from] zip::result::ZipError),
    #[error(transparent)]
    Format(#[from] FormatError),
}
