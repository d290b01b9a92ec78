//! Features on disk: what a backbone makes of data, kept so that it is not computed twice.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use disinherit_formats::{Dtype, Tensor, read_checkpoint, write_checkpoint};
use fiun::Matrix;

use crate::digest::Digest;
use crate::error::RegistryError;

const FEATURES: &str = "features";
const SUM: &str = "sum";

/// A folder of feature matrices, each of one backbone on the samples of one label. It is bounded:
/// what was used least recently goes first. Losing it costs time and nothing else, so a file that
/// cannot be read counts as not there.
#[derive(Debug, Clone)]
pub struct FeatureCache {
    folder: PathBuf,
    limit: u64,
}

impl FeatureCache {
    /// A cache in a folder, of at most `limit` bytes.
    pub fn new(folder: PathBuf, limit: u64) -> Self {
        Self { folder, limit }
    }

    /// The features of a backbone on a label's samples, if they are here.
    pub fn get(&self, label: &str, key: Digest) -> Option<Matrix> {
        let path = self.path(label, key);
        let tensors = read_checkpoint(&path).ok()?;
        let (features, sum) = (tensors.get(FEATURES)?, tensors.get(SUM)?);
        if sum.bytes
            != Digest::from_content(&features.bytes)
                .to_string()
                .into_bytes()
        {
            return None;
        }
        let [rows, cols] = features.shape[..] else {
            return None;
        };
        let matrix = Matrix::new(rows, cols, features.to_f32()?).ok()?;
        if let Ok(file) = File::options().append(true).open(&path) {
            // Only the order in which entries go depends on it.
            let _ = file.set_modified(SystemTime::now());
        }
        Some(matrix)
    }

    /// Keeps features; entries that were used least recently go until all fit. Features larger
    /// than the whole cache are not kept.
    ///
    /// # Errors
    /// [`RegistryError::Io`].
    pub fn put(&self, label: &str, key: Digest, features: &Matrix) -> Result<(), RegistryError> {
        let size = features.values().len() as u64 * 4;
        if size > self.limit {
            return Ok(());
        }
        std::fs::create_dir_all(&self.folder).map_err(RegistryError::io("make", &self.folder))?;
        self.trim(self.limit - size)?;
        let shape = [features.rows(), features.cols()];
        let tensor = Tensor::from_f32(&shape, features.values());
        let sum = Digest::from_content(&tensor.bytes).to_string().into_bytes();
        let sum = Tensor {
            dtype: Dtype::U8,
            shape: vec![sum.len()],
            bytes: sum,
        };
        let tensors = [(FEATURES.to_owned(), tensor), (SUM.to_owned(), sum)];
        Ok(write_checkpoint(
            &self.path(label, key),
            &tensors.into(),
            HashMap::new(),
        )?)
    }

    /// Drops everything that was computed from samples of these labels; of all labels when none is
    /// given. Returns how many entries went.
    ///
    /// # Errors
    /// [`RegistryError::Io`] when an entry cannot be removed.
    pub fn forget(&self, labels: Option<&[String]>) -> Result<usize, RegistryError> {
        let prefixes: Option<Vec<String>> =
            labels.map(|labels| labels.iter().map(|label| prefix(label)).collect());
        let mut dropped = 0;
        for (path, _, _) in self.entries()? {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
            let gone = prefixes
                .as_ref()
                .is_none_or(|list| list.iter().any(|prefix| name.starts_with(prefix)));
            if gone {
                remove(&path)?;
                dropped += 1;
            }
        }
        Ok(dropped)
    }

    fn trim(&self, limit: u64) -> Result<(), RegistryError> {
        let mut entries = self.entries()?;
        let mut size: u64 = entries.iter().map(|(_, size, _)| size).sum();
        entries.sort_by_key(|(_, _, used)| *used);
        for (path, bytes, _) in entries {
            if size <= limit {
                break;
            }
            remove(&path)?;
            size -= bytes;
        }
        Ok(())
    }

    /// Every entry with its size and when it was last used.
    fn entries(&self) -> Result<Vec<(PathBuf, u64, SystemTime)>, RegistryError> {
        let listing = match std::fs::read_dir(&self.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(RegistryError::io("read", &self.folder))?,
        };
        let mut entries = Vec::new();
        for entry in listing {
            let entry = entry.map_err(RegistryError::io("read", &self.folder))?;
            // Another process may have removed it meanwhile.
            if let Ok(data) = entry.metadata()
                && data.is_file()
            {
                let used = data.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                entries.push((entry.path(), data.len(), used));
            }
        }
        Ok(entries)
    }

    fn path(&self, label: &str, key: Digest) -> PathBuf {
        self.folder.join(format!("{}-{key}", prefix(label)))
    }
}

/// What the names of a label's entries start with.
fn prefix(label: &str) -> String {
    Digest::from_content(label.as_bytes()).to_string()[..16].to_owned()
}

fn remove(path: &Path) -> Result<(), RegistryError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(RegistryError::io("remove", path)),
    }
}
