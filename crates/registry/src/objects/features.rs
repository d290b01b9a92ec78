//! Features that are kept: what a backbone makes of data, so that it is not computed twice.

use std::collections::HashMap;

use disinherit_formats::{Dtype, Tensor, to_safetensors};
use fiun::Matrix;
use safetensors::SafeTensors;

use crate::digest::Digest;
use crate::error::RegistryError;
use crate::objects::shelf::Shelf;

const FEATURES: &str = "features";
const SUM: &str = "sum";

/// Feature matrices, each of one backbone on the samples of one label, beside the objects of a registry. They
/// are bounded: in a folder what was used least recently goes first, on shared storage what was written
/// first. Losing them costs time and nothing else, so an entry that cannot be read counts as not there.
#[derive(Debug, Clone)]
pub struct FeatureCache {
    shelf: Shelf,
    limit: u64,
}

impl FeatureCache {
    /// A cache of at most `limit` bytes.
    pub(crate) fn new(shelf: Shelf, limit: u64) -> Self {
        Self { shelf, limit }
    }

    /// The features of a backbone on a label's samples, if they are here.
    pub fn get(&self, label: &str, key: Digest) -> Option<Matrix> {
        decoded(&self.shelf.read(&name(label, key))?)
    }

    /// Keeps features; others go until all fit. Features larger than the whole cache are not kept.
    ///
    /// # Errors
    /// [`RegistryError`] when they cannot be written.
    pub fn put(&self, label: &str, key: Digest, features: &Matrix) -> Result<(), RegistryError> {
        let size = features.values().len() as u64 * 4;
        if size > self.limit {
            return Ok(());
        }
        self.trim(self.limit - size)?;
        self.shelf.write(&name(label, key), encoded(features)?)
    }

    /// Drops everything that was computed from samples of these labels; of all labels when none is
    /// given. Returns how many entries went.
    ///
    /// # Errors
    /// [`RegistryError`] when an entry cannot be removed.
    pub fn forget(&self, labels: Option<&[String]>) -> Result<usize, RegistryError> {
        let prefixes: Option<Vec<String>> =
            labels.map(|labels| labels.iter().map(|label| prefix(label)).collect());
        let mut dropped = 0;
        for entry in self.shelf.entries()? {
            let gone = prefixes
                .as_ref()
                .is_none_or(|list| list.iter().any(|prefix| entry.name.starts_with(prefix)));
            if gone {
                self.shelf.remove(&entry.name)?;
                dropped += 1;
            }
        }
        Ok(dropped)
    }

    fn trim(&self, limit: u64) -> Result<(), RegistryError> {
        let mut entries = self.shelf.entries()?;
        let mut size: u64 = entries.iter().map(|entry| entry.size).sum();
        entries.sort_by_key(|entry| entry.used);
        for entry in entries {
            if size <= limit {
                break;
            }
            self.shelf.remove(&entry.name)?;
            size -= entry.size;
        }
        Ok(())
    }
}

/// Features with a sum over them, as a safetensors file.
fn encoded(features: &Matrix) -> Result<Vec<u8>, RegistryError> {
    let shape = [features.rows(), features.cols()];
    let tensor = Tensor::from_f32(&shape, features.values());
    let sum = Digest::from_content(&tensor.bytes).to_string().into_bytes();
    let sum = Tensor {
        dtype: Dtype::U8,
        shape: vec![sum.len()],
        bytes: sum,
    };
    let tensors = [(FEATURES.to_owned(), tensor), (SUM.to_owned(), sum)];
    to_safetensors(&tensors.into(), HashMap::new()).map_err(|reason| RegistryError::Document {
        what: "cached features".into(),
        reason,
    })
}

/// The features, if they are whole.
fn decoded(bytes: &[u8]) -> Option<Matrix> {
    let file = SafeTensors::deserialize(bytes).ok()?;
    let (features, sum) = (file.tensor(FEATURES).ok()?, file.tensor(SUM).ok()?);
    if sum.data() != Digest::from_content(features.data()).to_string().as_bytes() {
        return None;
    }
    let [rows, cols] = features.shape()[..] else {
        return None;
    };
    let features = Tensor {
        dtype: features.dtype(),
        shape: vec![rows, cols],
        bytes: features.data().to_vec(),
    };
    Matrix::new(rows, cols, features.to_f32()?).ok()
}

fn name(label: &str, key: Digest) -> String {
    format!("{}-{key}", prefix(label))
}

/// What the names of a label's entries start with.
fn prefix(label: &str) -> String {
    Digest::from_content(label.as_bytes()).to_string()[..16].to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;

    #[test]
    fn processes_share_what_is_on_shared_storage() {
        let runtime = Arc::new(tokio::runtime::Runtime::new().unwrap());
        let storage = Arc::new(InMemory::new());
        let open =
            |limit| FeatureCache::new(Shelf::Storage(storage.clone(), runtime.clone()), limit);
        let (one, other) = (open(11_000), open(11_000));
        let features = |value: f32| Matrix::new(100, 10, vec![value; 1000]).unwrap();
        let key = |n: u8| Digest::from_content(&[n]);
        assert!(one.get("cat", key(0)).is_none());
        one.put("cat", key(0), &features(0.0)).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(5));
        one.put("dog", key(1), &features(1.0)).unwrap();
        assert_eq!(other.get("cat", key(0)).unwrap(), features(0.0));
        std::thread::sleep(std::time::Duration::from_millis(5));
        other.put("dog", key(2), &features(2.0)).unwrap();
        assert!(one.get("cat", key(0)).is_none(), "written first");
        assert_eq!(one.forget(Some(&["dog".into()])).unwrap(), 2);
        assert!(other.get("dog", key(2)).is_none());
        assert_eq!(other.forget(None).unwrap(), 0);
    }
}
