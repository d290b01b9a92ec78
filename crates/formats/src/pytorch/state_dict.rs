//! PyTorch state dicts, read without running anything that is pickled in them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use crate::source::TensorSource;
use crate::tensor::{Dtype, Tensor};
use pytorch_reader::{DType, PickleValue, PytorchError, PytorchReader, Tensor as Pickled};

use crate::error::FormatError;

/// Entries of a checkpoint's dictionary that hold a state dict, the likeliest first.
const KEYS: [&str; 7] = [
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "network",
    "module",
];

/// How much larger its tensors may be than a file: shared storages and views are written twice.
const LARGEST_GROWTH: u64 = 8;

/// What every file may become.
const SMALL: u64 = 1 << 20;

/// Modules whose objects are data: they may stand beside weights.
const HARMLESS: [&str; 9] = [
    "torch",
    "numpy",
    "collections",
    "argparse",
    "datetime",
    "pathlib",
    "decimal",
    "fractions",
    "_codecs",
];

/// The tensors of a PyTorch file.
pub(crate) struct StateDict {
    path: PathBuf,
    tensors: HashMap<String, Pickled>,
    /// Where in the file's dictionary they are.
    pub(crate) key: Option<String>,
    pub(crate) warnings: Vec<String>,
}

impl StateDict {
    pub(crate) fn open(path: &Path) -> Result<Self, FormatError> {
        let values =
            PytorchReader::read_pickle_data(path, None).map_err(|error| refused(path, &error))?;
        if let Some(name) = code(&values) {
            return Err(FormatError::Code {
                path: path.to_owned(),
                name,
            });
        }
        let (key, others) = nested(&values);
        let reader = match &key {
            Some(key) => PytorchReader::with_top_level_key(path, key),
            None => PytorchReader::new(path),
        };
        let reader = reader.map_err(|error| refused(path, &error))?;
        if reader.is_empty() {
            return Err(FormatError::file(
                path,
                "it holds no tensors; save a state dict: torch.save(model.state_dict(), PATH)",
            ));
        }
        let size = std::fs::metadata(path)
            .map_err(FormatError::unreadable(path))?
            .len();
        let tensors = reader.tensors().values();
        let bytes: u64 = tensors.fold(0u64, |sum, t| sum.saturating_add(t.byte_len() as u64));
        if bytes > size.saturating_mul(LARGEST_GROWTH).saturating_add(SMALL) {
            return Err(FormatError::file(
                path,
                format!(
                    "its {size} bytes become tensors of {bytes}: views that repeat a storage, or \
                     compression; save contiguous tensors"
                ),
            ));
        }
        let mut warnings = Vec::new();
        if !others.is_empty() {
            warnings.push(format!(
                "{}: only `{}` is taken; {} stay behind (an optimizer's state remembers training \
                 data too)",
                path.display(),
                key.as_deref().unwrap_or_default(),
                others.join(", ")
            ));
        }
        Ok(Self {
            path: path.to_owned(),
            tensors: reader.into_tensors(),
            key,
            warnings,
        })
    }

    fn refuse(&self, reason: String) -> FormatError {
        FormatError::Checkpoint {
            path: self.path.clone(),
            reason,
        }
    }
}

impl TensorSource for StateDict {
    fn tensors(&self) -> BTreeMap<String, (Dtype, Vec<usize>)> {
        let describe = |tensor: &Pickled| (dtype(tensor.dtype()), tensor.shape().to_vec());
        let tensors = self.tensors.iter();
        tensors
            .map(|(name, tensor)| (name.clone(), describe(tensor)))
            .collect()
    }

    fn tensor(&self, name: &str) -> Result<Tensor, FormatError> {
        let tensor = self
            .tensors
            .get(name)
            .ok_or_else(|| self.refuse(format!("it has no tensor `{name}`")))?;
        Ok(Tensor {
            dtype: dtype(tensor.dtype()),
            shape: tensor.shape().to_vec(),
            bytes: tensor
                .read()
                .map_err(|error| self.refuse(error.to_string()))?,
        })
    }
}

fn refused(path: &Path, error: &PytorchError) -> FormatError {
    FormatError::file(
        path,
        format!(
            "it cannot be read as a PyTorch state dict: {error}. Save it again with \
             torch.save(model.state_dict(), PATH), dense tensors only"
        ),
    )
}

/// The entry that holds the state dict, where the file's dictionary holds other things too, and
/// the names of those.
fn nested(values: &PickleValue) -> (Option<String>, Vec<String>) {
    let PickleValue::Dict(entries) = values else {
        return (None, Vec::new());
    };
    let holds = |key: &str| matches!(entries.get(key), Some(PickleValue::Dict(_)));
    let Some(key) = KEYS.into_iter().find(|key| holds(key)) else {
        return (None, Vec::new());
    };
    let mut others: Vec<String> = entries
        .keys()
        .filter(|name| *name != key)
        .map(|name| format!("`{name}`"))
        .collect();
    others.sort();
    (Some(key.to_owned()), others)
}

/// The name of something that is not data.
fn code(value: &PickleValue) -> Option<String> {
    match value {
        PickleValue::Unsupported(name) => {
            let module = name.split('.').next().unwrap_or_default();
            let plain = !name.contains('.');
            (!plain && !HARMLESS.contains(&module)).then(|| name.clone())
        }
        PickleValue::List(items) => items.iter().find_map(code),
        PickleValue::Dict(entries) => entries.values().find_map(code),
        _ => None,
    }
}

fn dtype(of: DType) -> Dtype {
    match of {
        DType::F64 => Dtype::F64,
        DType::F32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::I16 => Dtype::I16,
        DType::I8 => Dtype::I8,
        DType::U64 => Dtype::U64,
        DType::U32 => Dtype::U32,
        DType::U16 => Dtype::U16,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
    }
}
