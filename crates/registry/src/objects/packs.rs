//! Which objects lie in packs, and reading them there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::SystemTime;

use crate::digest::Digest;
use crate::objects::pack::Entry;

/// Bytes of neighbours in a pack that are read together over a network.
const TOGETHER: u64 = 1 << 20;

/// A pack that is there.
#[derive(Debug, Clone)]
pub(crate) struct Pack {
    pub(crate) digest: Digest,
    /// In bytes.
    pub(crate) size: u64,
    /// When it was written.
    pub(crate) written: SystemTime,
    /// Where objects begin that are read together.
    groups: Vec<u64>,
    /// Where the last object ends.
    end: u64,
}

/// Where an object lies.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) pack: Digest,
    pub(crate) entry: Entry,
    /// The bytes of the pack that are read with it over a network.
    pub(crate) together: Range<u64>,
}

/// The same, as it is kept for each of a million objects.
#[derive(Debug, Clone, Copy)]
struct Kept {
    pack: u32,
    offset: u32,
    length: u32,
}

/// All packs that this process knows of, and their objects.
#[derive(Debug, Default)]
pub(crate) struct Packs {
    known: RwLock<Known>,
    /// Held while packs are looked for.
    pub(crate) looking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    /// How often packs were looked for; at first they were not.
    looked: u64,
    packs: Vec<Option<Pack>>,
    numbers: HashMap<Digest, u32>,
    objects: HashMap<Digest, Kept>,
    /// The other places of objects that lie in several packs.
    again: HashMap<Digest, Vec<Kept>>,
    /// Packs that cannot be read, and why not.
    broken: BTreeMap<Digest, String>,
}

impl Packs {
    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often packs were looked for.
    pub(crate) fn looked(&self) -> u64 {
        self.known().looked
    }

    /// Says that packs were looked for.
    pub(crate) fn has_looked(&self) {
        self.change().looked += 1;
    }

    /// The places of an object.
    pub(crate) fn places(&self, digest: Digest) -> Vec<Place> {
        let known = self.known();
        let first = known.objects.get(&digest).into_iter();
        let again = known.again.get(&digest).into_iter().flatten();
        let places = first.chain(again);
        places
            .filter_map(|kept| known.place(digest, *kept))
            .collect()
    }

    /// Whether an object lies in a pack.
    pub(crate) fn has(&self, digest: Digest) -> bool {
        self.known().objects.contains_key(&digest)
    }

    /// The packs, those that cannot be read too.
    pub(crate) fn names(&self) -> BTreeSet<Digest> {
        let known = self.known();
        let broken = known.broken.keys();
        known.numbers.keys().chain(broken).copied().collect()
    }

    /// The packs that can be read.
    pub(crate) fn packs(&self) -> Vec<Pack> {
        self.known().packs.iter().flatten().cloned().collect()
    }

    /// The bytes of a pack that can be read.
    pub(crate) fn size(&self, pack: Digest) -> Option<u64> {
        let known = self.known();
        Some(known.pack(*known.numbers.get(&pack)?)?.size)
    }

    /// When a pack was written that can be read.
    pub(crate) fn written(&self, pack: Digest) -> Option<SystemTime> {
        let known = self.known();
        Some(known.pack(*known.numbers.get(&pack)?)?.written)
    }

    /// Packs that cannot be read, and why not.
    pub(crate) fn broken(&self) -> BTreeMap<Digest, String> {
        self.known().broken.clone()
    }

    /// The packs that hold some of these objects.
    pub(crate) fn holding(&self, objects: impl Fn(&Digest) -> bool) -> BTreeSet<Digest> {
        let mut packs = BTreeSet::new();
        self.each(|digest, pack, _| {
            if objects(&digest) {
                packs.insert(pack.digest);
            }
        });
        packs
    }

    /// Hands out every object with its pack and its bytes.
    pub(crate) fn each(&self, mut take: impl FnMut(Digest, &Pack, u64)) {
        let known = self.known();
        let again = known.again.iter();
        let again = again.flat_map(|(digest, list)| list.iter().map(move |kept| (digest, kept)));
        for (digest, kept) in known.objects.iter().chain(again) {
            if let Some(pack) = known.pack(kept.pack) {
                take(*digest, pack, u64::from(kept.length));
            }
        }
    }

    /// Learns of a pack.
    pub(crate) fn add(&self, digest: Digest, size: u64, written: SystemTime, entries: &[Entry]) {
        let mut known = self.change();
        known.forget(&[digest].into());
        let number = known.packs.len() as u32;
        known.packs.push(Some(Pack {
            digest,
            size,
            written,
            groups: groups(entries),
            end: entries.last().map_or(0, |entry| entry.range().end),
        }));
        known.numbers.insert(digest, number);
        for entry in entries {
            let kept = Kept {
                pack: number,
                offset: entry.offset,
                length: entry.length,
            };
            // What was written last is the least likely to go soon.
            if let Some(before) = known.objects.insert(entry.digest, kept) {
                known.again.entry(entry.digest).or_default().push(before);
            }
        }
    }

    /// Learns of a pack that cannot be read.
    pub(crate) fn add_broken(&self, digest: Digest, reason: String) {
        self.change().broken.insert(digest, reason);
    }

    /// Forgets packs that are gone.
    pub(crate) fn forget(&self, gone: &BTreeSet<Digest>) {
        self.change().forget(gone);
    }
}

impl Known {
    fn pack(&self, number: u32) -> Option<&Pack> {
        self.packs.get(number as usize)?.as_ref()
    }

    fn place(&self, digest: Digest, kept: Kept) -> Option<Place> {
        let pack = self.pack(kept.pack)?;
        let at = u64::from(kept.offset);
        let group = pack.groups.partition_point(|start| *start <= at);
        let start = pack.groups.get(group.checked_sub(1)?)?;
        let end = pack.groups.get(group).unwrap_or(&pack.end);
        Some(Place {
            pack: pack.digest,
            entry: Entry {
                digest,
                offset: kept.offset,
                length: kept.length,
            },
            together: *start..*end,
        })
    }

    fn forget(&mut self, gone: &BTreeSet<Digest>) {
        gone.iter().for_each(|digest| {
            self.broken.remove(digest);
        });
        let numbers: BTreeSet<u32> = gone
            .iter()
            .filter_map(|digest| self.numbers.remove(digest))
            .collect();
        if numbers.is_empty() {
            return;
        }
        for number in &numbers {
            self.packs[*number as usize] = None;
        }
        self.again.retain(|_, list| {
            list.retain(|kept| !numbers.contains(&kept.pack));
            !list.is_empty()
        });
        let again = &mut self.again;
        self.objects.retain(|digest, kept| {
            if !numbers.contains(&kept.pack) {
                return true;
            }
            match again.get_mut(digest).and_then(Vec::pop) {
                Some(other) => *kept = other,
                None => return false,
            }
            true
        });
        again.retain(|_, list| !list.is_empty());
    }
}

/// Where objects begin that are read together: neighbours, as many as reach a size.
fn groups(entries: &[Entry]) -> Vec<u64> {
    let mut starts: Vec<u64> = Vec::new();
    for entry in entries {
        let range = entry.range();
        let start = starts.last().copied();
        // An object without bytes begins where the next one does.
        if start.is_none_or(|start| range.end - start > TOGETHER && range.start > start) {
            starts.push(range.start);
        }
    }
    starts
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn entry(number: u8, offset: u32, length: u32) -> Entry {
        Entry {
            digest: Digest::from_content(&[number]),
            offset,
            length,
        }
    }

    #[test]
    fn neighbours_are_read_together() {
        let part = (TOGETHER / 4) as u32;
        let entries: Vec<Entry> = (0..9)
            .map(|at| entry(at, 8 + at as u32 * part, part))
            .collect();
        let packs = Packs::default();
        let name = Digest::from_content(b"pack");
        packs.add(name, 0, SystemTime::now(), &entries);
        let mut read = BTreeSet::new();
        for entry in &entries {
            let places = packs.places(entry.digest);
            assert_eq!((places.len(), places[0].pack), (1, name));
            let (range, together) = (places[0].entry.range(), places[0].together.clone());
            assert_eq!(places[0].entry, *entry);
            assert!(together.start <= range.start && range.end <= together.end);
            assert!(together.end - together.start <= TOGETHER);
            read.insert((together.start, together.end));
        }
        assert_eq!(read.len(), 3);
    }

    #[test]
    fn what_lies_in_two_packs_outlasts_one_of_them() {
        let packs = Packs::default();
        let names = [1, 2, 3].map(|number| Digest::from_content(&[number]));
        let shared = entry(9, 8, 4);
        for (number, name) in names.into_iter().enumerate() {
            let own = entry(10 + number as u8, 12, 4);
            packs.add(name, 16, SystemTime::now(), &[shared, own]);
        }
        assert_eq!(packs.places(shared.digest).len(), 3);
        packs.forget(&[names[2]].into());
        packs.forget(&[names[0]].into());
        let left = packs.places(shared.digest);
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].pack, names[1]);
        assert!(!packs.has(entry(10, 0, 0).digest) && packs.has(entry(11, 0, 0).digest));
        packs.forget(&[names[1]].into());
        assert!(!packs.has(shared.digest) && packs.packs().is_empty());
    }
}
