//! Objects that lie in more than one place, as processes leave them that did the same work at the same time.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::SystemTime;

use crate::digest::Digest;
use crate::error::RegistryError;
use crate::objects::blobs::Blobs;
use crate::objects::disk::location;

/// Copies of objects that are in a pack which stays.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    /// Those that lie alone, with their bytes.
    alone: Vec<(Digest, u64)>,
    /// Those in packs, by pack.
    packed: BTreeMap<Digest, Vec<(Digest, u64)>>,
    /// The pack that each of them stays in.
    kept: HashMap<Digest, Digest>,
}

impl Copies {
    fn each(&self) -> impl Iterator<Item = &(Digest, u64)> {
        self.alone.iter().chain(self.packed.values().flatten())
    }

    /// How many there are, and their bytes.
    pub(crate) fn count(&self) -> (usize, u64) {
        (self.each().count(), self.each().map(|(_, size)| size).sum())
    }
}

impl Blobs {
    /// The copies that were written before some time. Of several packs with an object that with the most objects
    /// keeps it, so that small packs go as a whole.
    ///
    /// # Errors
    /// [`RegistryError::Objects`].
    pub(crate) async fn copies(&self, before: SystemTime) -> Result<Copies, RegistryError> {
        self.look(self.packs.looked()).await?;
        let mut packs: HashMap<Digest, (SystemTime, Vec<(Digest, u64)>)> = HashMap::new();
        self.packs.each(|object, pack, size| {
            let (_, objects) = packs
                .entry(pack.digest)
                .or_insert((pack.written, Vec::new()));
            objects.push((object, size));
        });
        let mut packs: Vec<_> = packs.into_iter().collect();
        packs.sort_by_key(|(pack, (_, objects))| (std::cmp::Reverse(objects.len()), *pack));
        let mut copies = Copies::default();
        for (pack, (written, objects)) in packs {
            for (object, size) in objects {
                match copies.kept.entry(object) {
                    Entry::Vacant(place) => {
                        place.insert(pack);
                    }
                    Entry::Occupied(_) if written < before => {
                        copies.packed.entry(pack).or_default().push((object, size));
                    }
                    Entry::Occupied(_) => {}
                }
            }
        }
        for stored in self.list_alone().await? {
            if copies.kept.contains_key(&stored.digest) && stored.written < before {
                copies.alone.push((stored.digest, stored.size));
            }
        }
        let lie_twice: HashSet<Digest> = copies.each().map(|(object, _)| *object).collect();
        copies.kept.retain(|object, _| lie_twice.contains(object));
        Ok(copies)
    }

    /// Removes copies. One whose object cannot be read where it stays is left. Returns how many went, and their bytes.
    ///
    /// # Errors
    /// [`RegistryError::Pack`] or [`RegistryError::Objects`]; some may have been removed.
    pub(crate) async fn remove_copies(
        &self,
        mut copies: Copies,
    ) -> Result<(usize, u64), RegistryError> {
        let mut unsound = HashSet::new();
        for (object, pack) in &copies.kept {
            if !self.is_sound_in(*object, *pack).await? {
                unsound.insert(*object);
            }
        }
        let goes = |(object, _): &(Digest, u64)| !unsound.contains(object);
        copies.alone.retain(goes);
        copies
            .packed
            .values_mut()
            .for_each(|list| list.retain(goes));
        copies.packed.retain(|_, list| !list.is_empty());
        let count = copies.count();
        let alone = copies.alone.iter().map(|(object, _)| location(*object));
        self.delete(alone.collect::<Vec<_>>()).await?;
        for (pack, objects) in copies.packed {
            let gone = objects.into_iter().map(|(object, _)| object).collect();
            self.without(pack, &gone).await?;
        }
        Ok(count)
    }

    /// Whether an object's bytes in a pack are what its digest says.
    async fn is_sound_in(&self, object: Digest, pack: Digest) -> Result<bool, RegistryError> {
        let mut places = self.packs.places(object).into_iter();
        let Some(place) = places.find(|place| place.pack == pack) else {
            return Ok(false);
        };
        match self.read_place(&place).await {
            Ok(bytes) => Ok(self.checked(object, bytes).is_ok()),
            Err(RegistryError::Missing(_) | RegistryError::Damaged(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
