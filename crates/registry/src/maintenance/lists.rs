//! Checking the lists of samples that models were trained on.

use std::collections::{BTreeMap, BTreeSet};

use umig::ModelId;

use crate::digest::Digest;
use crate::error::RegistryError;
use crate::maintenance::fsck::Check;
use crate::objects::read::ReadObject;
use crate::registry::samples::kept_of;
use crate::samples::block::Block;
use crate::samples::index::{BlockRef, Index};
use crate::samples::shelf::unreadable;

/// Versions that something concerns.
type Users = BTreeSet<ModelId>;

impl Check<'_> {
    /// Reads every list of a version that is not purged: what it says of itself, and every block of it.
    pub(super) fn samples(
        &mut self,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), RegistryError> {
        let mut users: BTreeMap<Digest, Users> = BTreeMap::new();
        let mut counts: BTreeMap<Digest, u64> = BTreeMap::new();
        for row in self.rows.iter().filter(|row| !row.purged) {
            for kept in kept_of(row) {
                let list = kept.list().parse()?;
                users.entry(list).or_default().insert(row.vertex.id.clone());
                counts.insert(list, kept.count());
            }
        }
        self.objects(&users, &mut |_, _| {})?;
        let key = self.registry.sample_key()?;
        let mut blocks: BTreeMap<Digest, Users> = BTreeMap::new();
        let mut parts: Vec<(Digest, BlockRef)> = Vec::new();
        for (list, models) in users {
            if !self.is_whole(list) {
                continue;
            }
            let index = match self.registry.sample_list(list) {
                Ok(index) => index,
                Err(error) => {
                    self.found(error.to_string(), models);
                    continue;
                }
            };
            if index.hashed && !key.as_ref().is_some_and(|key| index.fits(key)) {
                let what = "the registry does not have the key that its ids were hashed with";
                self.found(unreadable(list, what.into()).to_string(), models.clone());
            }
            self.check_count(&index, list, counts.get(&list), &models);
            for block in index.blocks {
                let entry = blocks.entry(block.digest).or_default();
                entry.extend(models.iter().cloned());
                parts.push((list, block));
            }
        }
        self.objects(&blocks, progress)?;
        for (list, block) in parts {
            let models = blocks.get(&block.digest);
            self.sample_block(list, &block, models.cloned().unwrap_or_default())?;
        }
        Ok(())
    }

    /// Reads one block, where it is the bytes that its name says.
    fn sample_block(
        &mut self,
        list: Digest,
        block: &BlockRef,
        models: Users,
    ) -> Result<(), RegistryError> {
        if !self.is_whole(block.digest) {
            return Ok(());
        }
        let bytes = self.registry.object(block.digest)?;
        let wrong = match Block::read(&bytes, block.count) {
            Ok(read) if read.entries().next() == Some(&block.first[..]) => return Ok(()),
            Ok(_) => "it begins with another entry than its list says".to_owned(),
            Err(reason) => reason,
        };
        let what = unreadable(list, format!("block {}: {wrong}", block.digest));
        self.found(what.to_string(), models);
        Ok(())
    }

    fn check_count(&mut self, index: &Index, list: Digest, told: Option<&u64>, models: &Users) {
        if told.is_some_and(|told| *told != index.count) {
            let what = format!("it has {} entries, its model says otherwise", index.count);
            self.found(unreadable(list, what).to_string(), models.clone());
        }
    }
}
