//! Parts of packs that were read over a network, kept while their objects are asked for.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use crate::digest::Digest;

/// Bytes that are kept.
const LIMIT: u64 = 64 << 20;

/// A part of a pack: its digest, and where it begins.
type Name = (Digest, u64);

/// A part, read once by the first caller.
type Cell = Arc<OnceCell<Arc<Vec<u8>>>>;

/// What was read last.
#[derive(Debug, Default)]
pub(crate) struct Window {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    parts: HashMap<Name, Part>,
    bytes: u64,
    clock: u64,
}

#[derive(Debug)]
struct Part {
    cell: Cell,
    size: u64,
    used: u64,
}

impl Window {
    /// A part of a pack: as it is kept, or read. Several that ask at the same time read it once.
    pub(crate) async fn read<E, F>(
        &self,
        pack: Digest,
        range: &Range<u64>,
        read: impl FnOnce() -> F,
    ) -> Result<Arc<Vec<u8>>, E>
    where
        F: Future<Output = Result<Vec<u8>, E>>,
    {
        let name = (pack, range.start);
        let cell = self.cell(name, range.end - range.start);
        let part = cell
            .get_or_try_init(|| async { read().await.map(Arc::new) })
            .await;
        if part.is_err() {
            self.drop_part(name);
        }
        part.cloned()
    }

    fn cell(&self, name: Name, size: u64) -> Cell {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clock += 1;
        let used = kept.clock;
        if let Some(part) = kept.parts.get_mut(&name) {
            part.used = used;
            return Arc::clone(&part.cell);
        }
        while kept.bytes + size > LIMIT {
            let parts = kept.parts.iter();
            let Some(oldest) = parts
                .min_by_key(|(_, part)| part.used)
                .map(|(name, _)| *name)
            else {
                break;
            };
            kept.remove(&oldest);
        }
        let cell = Cell::default();
        kept.bytes += size;
        let part = Part {
            cell: Arc::clone(&cell),
            size,
            used,
        };
        kept.parts.insert(name, part);
        cell
    }

    /// Forgets what was read of packs that are gone.
    pub(crate) fn forget(&self, packs: &BTreeSet<Digest>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let names = kept.parts.keys();
        let gone: Vec<Name> = names
            .filter(|name| packs.contains(&name.0))
            .copied()
            .collect();
        gone.iter().for_each(|name| kept.remove(name));
    }

    fn drop_part(&self, name: Name) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.remove(&name);
    }
}

impl Kept {
    fn remove(&mut self, name: &Name) {
        if let Some(part) = self.parts.remove(name) {
            self.bytes -= part.size;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::cell::Cell as Count;

    use super::*;

    #[tokio::test]
    async fn parts_are_read_once_as_long_as_there_is_room() {
        let window = Window::default();
        let pack = Digest::from_content(b"pack");
        let reads = Count::new(0);
        let size = LIMIT / 2;
        let ask = async |start: u64| {
            let read = || async {
                reads.set(reads.get() + 1);
                Ok::<_, ()>(vec![start as u8])
            };
            window
                .read(pack, &(start..start + size), read)
                .await
                .unwrap()
        };
        for start in [1, 2, 1, 3, 1] {
            assert_eq!(ask(start).await[..], [start as u8]);
        }
        assert_eq!(reads.get(), 3, "the second was used least recently");
        ask(2).await;
        assert_eq!(reads.get(), 4);
        let failed = window.read(pack, &(4..5), || async { Err::<Vec<u8>, _>(7) });
        assert_eq!(failed.await, Err(7));
        assert_eq!(
            ask(4).await[..],
            [4],
            "a part that could not be read is read again"
        );
    }
}
