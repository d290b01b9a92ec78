//! Checking the objects of erasure requests, and their lists of samples.

use std::collections::{BTreeMap, BTreeSet};

use crate::digest::Digest;
use crate::erasures::request::ErasureRequest;
use crate::error::RegistryError;
use crate::maintenance::fsck::Check;

impl Check<'_> {
    /// Reads every object that erasure requests speak of, and every block of their lists of samples.
    pub(super) fn erasures(&mut self, erasures: &[ErasureRequest]) -> Result<(), RegistryError> {
        let mut objects: BTreeMap<Digest, BTreeSet<_>> = BTreeMap::new();
        let mut lists = Vec::new();
        for erasure in erasures {
            lists.extend(erasure.list()?);
            let spoken_of = erasure.objects.iter().copied();
            objects.extend(spoken_of.map(|digest| (digest, BTreeSet::new())));
        }
        objects.extend(lists.iter().map(|list| (*list, BTreeSet::new())));
        self.objects(&objects, &mut |_, _| {})?;
        let mut blocks = BTreeMap::new();
        for list in lists {
            if !self.is_whole(list) {
                continue;
            }
            match self.registry.sample_list(list) {
                Ok(index) => {
                    let digests = index.blocks.iter().map(|block| block.digest);
                    blocks.extend(digests.map(|digest| (digest, BTreeSet::new())));
                }
                Err(error) => self.found(error.to_string(), BTreeSet::new()),
            }
        }
        self.objects(&blocks, &mut |_, _| {})
    }
}
