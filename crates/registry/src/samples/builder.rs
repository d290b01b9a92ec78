//! Writing a list, entry after entry.

use crate::digest::Digest;
use crate::error::RegistryError;
use crate::samples::block::{LONGEST, Writing};
use crate::samples::filter::Filter;
use crate::samples::index::{BlockRef, Index};
use crate::samples::key::{Mark, SampleKey};

/// A block ends after an entry in so many, on the average. Which one is told by its mark alone, so equal
/// lists have equal blocks, and lists that differ in a few entries share most of them.
const ENTRIES: u64 = 1 << 15;

/// Stores a block or a list.
pub(crate) type Put<'a> = dyn FnMut(Vec<u8>) -> Result<Digest, RegistryError> + 'a;

/// A list on its way to the store. No more than one block is in memory at a time, and the filter.
pub(crate) struct Builder<'a, 'p> {
    put: &'a mut Put<'p>,
    block: Writing,
    index: Index,
}

impl<'a, 'p> Builder<'a, 'p> {
    /// A list of so many entries: ids, or marks under a key.
    pub(crate) fn new(count: u64, hashed: Option<&SampleKey>, put: &'a mut Put<'p>) -> Self {
        Self {
            put,
            block: Writing::default(),
            index: Index {
                hashed: hashed.is_some(),
                check: hashed.map_or_else(|| SampleKey::public().check(), SampleKey::check),
                count,
                blocks: Vec::new(),
                filter: Filter::new(count),
            },
        }
    }

    /// Adds an entry, which must be greater than the one before, with the mark of its id.
    pub(crate) fn push(&mut self, entry: &[u8], mark: &Mark) -> Result<(), RegistryError> {
        if entry.len() > LONGEST {
            return Err(RegistryError::Document {
                what: "list of samples".into(),
                reason: format!(
                    "an id has {} bytes; the longest have {LONGEST}",
                    entry.len()
                ),
            });
        }
        self.block.push(entry);
        self.index.filter.insert(mark);
        let mut low = [0; 8];
        low.copy_from_slice(&mark[8..]);
        if u64::from_le_bytes(low).is_multiple_of(ENTRIES) || self.block.is_full() {
            self.end_block()?;
        }
        Ok(())
    }

    fn end_block(&mut self) -> Result<(), RegistryError> {
        let mut block = std::mem::take(&mut self.block);
        let (count, first) = (block.count, std::mem::take(&mut block.first));
        let bytes = block.finish().map_err(|error| RegistryError::Document {
            what: "list of samples".into(),
            reason: format!("a block cannot be packed: {error}"),
        })?;
        self.index.blocks.push(BlockRef {
            digest: (self.put)(bytes)?,
            count,
            first,
        });
        Ok(())
    }

    /// Stores what is left, and the list itself; returns its digest.
    pub(crate) fn finish(mut self) -> Result<Digest, RegistryError> {
        if self.block.count > 0 {
            self.end_block()?;
        }
        let counted: u64 = self.index.blocks.iter().map(|block| block.count).sum();
        if counted != self.index.count {
            return Err(RegistryError::Document {
                what: "list of samples".into(),
                reason: format!(
                    "it should have {} entries and has {counted}",
                    self.index.count
                ),
            });
        }
        (self.put)(self.index.to_bytes())
    }
}
