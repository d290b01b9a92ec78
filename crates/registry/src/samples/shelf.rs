//! Reading lists: where they lie, and what one of them answers.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use tokio::runtime::Runtime;
use umig::{SampleError, SampleIndex};

use crate::digest::Digest;
use crate::error::RegistryError;
use crate::objects::blobs::Blobs;
use crate::samples::block::Block;
use crate::samples::index::{BlockRef, Index};
use crate::samples::key::{Mark, SampleKey};

/// Where lists lie, and the key of those with hashed ids.
#[derive(Debug)]
pub(crate) struct Shelf {
    pub(crate) blobs: Blobs,
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) key: Option<SampleKey>,
}

/// A list that cannot be read.
pub(crate) fn unreadable(list: Digest, reason: String) -> RegistryError {
    RegistryError::Document {
        what: format!("list of samples {list}"),
        reason,
    }
}

/// A list on the shelf, read as far as it is asked.
#[derive(Debug)]
pub(crate) struct KeptList {
    shelf: Arc<Shelf>,
    digest: Digest,
    /// Whether the version that it belongs to was purged.
    purged: bool,
    index: OnceLock<Index>,
}

impl KeptList {
    pub(crate) fn new(shelf: &Arc<Shelf>, digest: Digest, purged: bool) -> Self {
        Self {
            shelf: Arc::clone(shelf),
            digest,
            purged,
            index: OnceLock::new(),
        }
    }

    /// Reads what the list says of itself, so that it is at hand when the list is asked.
    pub(crate) async fn open(&self) -> Result<&Index, RegistryError> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let bytes = self.shelf.blobs.get(self.digest).await?;
        let index = Index::read(&bytes).map_err(|reason| unreadable(self.digest, reason))?;
        Ok(self.index.get_or_init(|| index))
    }

    /// What the list says of itself.
    pub(crate) fn index(&self) -> Result<&Index, RegistryError> {
        match self.index.get() {
            Some(index) => Ok(index),
            None => self.shelf.runtime.block_on(self.open()),
        }
    }

    /// The key that the entries were marked with.
    pub(crate) fn key(&self, index: &Index) -> Result<Cow<'_, SampleKey>, RegistryError> {
        let key = match (index.hashed, &self.shelf.key) {
            (false, _) => Cow::Owned(SampleKey::public()),
            (true, Some(key)) => Cow::Borrowed(key),
            (true, None) => {
                let reason = "its ids are hashed, and the registry has no key for them";
                return Err(unreadable(self.digest, reason.into()));
            }
        };
        if !index.fits(&key) {
            let reason = "its ids were hashed with another key than the registry has now";
            return Err(unreadable(self.digest, reason.into()));
        }
        Ok(key)
    }

    fn block(&self, block: &BlockRef) -> Result<Block, RegistryError> {
        let bytes = self
            .shelf
            .runtime
            .block_on(self.shelf.blobs.get(block.digest))?;
        Block::read(&bytes, block.count)
            .map_err(|reason| unreadable(self.digest, format!("block {}: {reason}", block.digest)))
    }

    /// Hands out every entry, in their order.
    pub(crate) fn each(
        &self,
        take: &mut dyn FnMut(&[u8]) -> Result<(), RegistryError>,
    ) -> Result<(), RegistryError> {
        for block in &self.index()?.blocks {
            self.block(block)?.entries().try_for_each(&mut *take)?;
        }
        Ok(())
    }

    /// Of some ids those that are in the list, as it has them.
    pub(crate) fn entries_of(
        &self,
        ids: &BTreeSet<String>,
    ) -> Result<BTreeSet<Vec<u8>>, RegistryError> {
        let index = self.index()?;
        let key = self.key(index)?;
        let entry = |id: &String| match index.hashed {
            true => key.mark(id.as_bytes()).to_vec(),
            false => id.as_bytes().to_vec(),
        };
        Ok(ids.iter().map(entry).collect())
    }

    /// Which of some ids are there: the filter first, and of the blocks only those that one of the ids that
    /// pass it would be in.
    fn find(&self, ids: &[&str]) -> Result<Vec<bool>, RegistryError> {
        let index = self.index()?;
        let key = self.key(index)?;
        let mut found = vec![false; ids.len()];
        let mut wanted: BTreeMap<usize, Vec<(usize, Mark)>> = BTreeMap::new();
        for (at, id) in ids.iter().enumerate() {
            let mark = key.mark(id.as_bytes());
            if !index.filter.may_have(&mark) {
                continue;
            }
            let entry = if index.hashed {
                &mark[..]
            } else {
                id.as_bytes()
            };
            if let Some(block) = index.block_of(entry) {
                wanted.entry(block).or_default().push((at, mark));
            }
        }
        for (block, places) in wanted {
            let block = self.block(&index.blocks[block])?;
            for (at, mark) in places {
                let entry = if index.hashed {
                    &mark[..]
                } else {
                    ids[at].as_bytes()
                };
                found[at] = block.has(entry);
            }
        }
        Ok(found)
    }

    fn failed(&self, error: RegistryError) -> SampleError {
        let list = self.digest.to_string();
        match error {
            RegistryError::Missing(_) if self.purged => SampleError::Gone { list },
            other => SampleError::Unreadable {
                list,
                reason: other.to_string(),
            },
        }
    }
}

impl SampleIndex for KeptList {
    fn which(&self, ids: &[&str]) -> Result<Vec<bool>, SampleError> {
        self.find(ids).map_err(|error| self.failed(error))
    }

    fn ids(&self) -> Result<Option<Vec<String>>, SampleError> {
        let mut ids = Vec::new();
        let hashed = self.index().map(|index| index.hashed);
        if hashed.map_err(|error| self.failed(error))? {
            return Ok(None);
        }
        let read = self.each(&mut |entry| {
            let id = String::from_utf8(entry.to_vec());
            ids.push(id.map_err(|error| unreadable(self.digest, error.to_string()))?);
            Ok(())
        });
        read.map_err(|error| self.failed(error))?;
        Ok(Some(ids))
    }

    fn is_purged(&self) -> bool {
        self.purged
    }
}
