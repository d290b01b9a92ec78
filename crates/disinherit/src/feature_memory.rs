//! Features held in memory, bounded: what was used least recently goes first.

use std::sync::Arc;

use disinherit_registry::Digest;
use fiun::Matrix;

/// Bytes of features held in memory.
const MEMORY: u64 = 1 << 30;

/// Features by backbone and data set.
#[derive(Default)]
pub(crate) struct Memory {
    /// Least recently used first.
    entries: Vec<(Digest, Arc<Matrix>)>,
}

impl Memory {
    pub(crate) fn get(&mut self, key: Digest) -> Option<Arc<Matrix>> {
        let place = self.entries.iter().position(|(known, _)| *known == key)?;
        let entry = self.entries.remove(place);
        let features = Arc::clone(&entry.1);
        self.entries.push(entry);
        Some(features)
    }

    pub(crate) fn put(&mut self, key: Digest, features: &Arc<Matrix>) {
        self.entries.push((key, Arc::clone(features)));
        let size = |m: &Matrix| m.values().len() as u64 * 4;
        let mut all: u64 = self.entries.iter().map(|(_, m)| size(m)).sum();
        while all > MEMORY && self.entries.len() > 1 {
            let (_, oldest) = self.entries.remove(0);
            all -= size(&oldest);
        }
    }
}
