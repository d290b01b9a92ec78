//! Objects in packs: writing, finding and reading them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::Range;
use std::time::SystemTime;

use futures::StreamExt;
use futures::stream::{self, TryStreamExt};
use object_store::path::Path as Location;
use object_store::{ObjectStoreExt, Result as StoreResult};

use crate::crash;
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::objects::blobs::{Blobs, SMALL};
use crate::objects::disk::{PACKS, location, pack_location, pack_of};
use crate::objects::pack::{self, Entry};
use crate::objects::packs::Place;

/// The fewest objects that are worth a pack.
pub(super) const FEWEST: usize = 8;

/// The bytes of a pack, if there are as many.
pub(super) const LARGE: usize = 8 << 20;

/// Packs and objects written at a time, and headers of packs read.
const CONCURRENT: usize = 16;

/// The same over a network, where each waits for an answer.
const WAITING: usize = 64;

/// Bytes at the beginning of a pack that are read for its header: enough for most.
const HEADER: u64 = 128 << 10;

/// An object that is to be written.
pub(crate) type Named = (Digest, Vec<u8>);

/// A pack as it was found, and what was read of it.
type Found = (Digest, u64, SystemTime, Header);

/// What was read of a pack: its objects, why they cannot be read, or that it is gone again.
enum Header {
    Entries(Vec<Entry>),
    Broken(String),
    Gone,
}

impl Blobs {
    /// Stores many objects: the small ones in packs, in their order. Unlike [`Blobs::put`] it does not look whether
    /// small ones are there.
    ///
    /// # Errors
    /// [`RegistryError::Objects`]; some may have been stored.
    pub(crate) async fn put_all(&self, objects: Vec<Named>) -> Result<(), RegistryError> {
        let mut seen = HashSet::new();
        let objects = objects
            .into_iter()
            .filter(|(digest, _)| seen.insert(*digest));
        let (mut small, mut alone): (Vec<Named>, Vec<Named>) =
            objects.partition(|(_, bytes)| bytes.len() <= SMALL);
        if small.len() < FEWEST {
            alone.append(&mut small);
        }
        small.iter().for_each(|_| crash::point("object"));
        self.put_packs(small).await?;
        stream::iter(alone)
            .map(|(digest, bytes)| self.put_named(digest, bytes))
            .buffer_unordered(self.concurrent())
            .try_collect()
            .await
    }

    /// [`Blobs::put_all`] where many of the objects may be there already: those are not written again. What is there
    /// is read and compared first, as [`Blobs::put`] does.
    ///
    /// # Errors
    /// [`RegistryError::Objects`]; some may have been stored.
    pub(crate) async fn put_new(&self, objects: Vec<Named>) -> Result<(), RegistryError> {
        if self.packs.looked() == 0 {
            self.look(0).await?;
        }
        let mut new = Vec::with_capacity(objects.len());
        for (digest, bytes) in objects {
            // Large ones are asked for when they are stored.
            if bytes.len() > SMALL || !self.is_kept(digest, &bytes).await? {
                new.push((digest, bytes));
            }
        }
        self.put_all(new).await
    }

    /// Whether a small object lies in a pack or, where asking is no journey, alone, and will be as long as the
    /// writer needs it.
    async fn is_kept(&self, digest: Digest, bytes: &[u8]) -> Result<bool, RegistryError> {
        for place in self.packs.places(digest) {
            let Some(disk) = &self.disk else {
                let written = self.packs.written(place.pack);
                if written.is_some_and(|written| self.is_ours(written)) {
                    return Ok(true);
                }
                continue;
            };
            // What cannot be read is stored once more.
            if self
                .read_place(&place)
                .await
                .is_ok_and(|read| read == bytes)
            {
                disk.unsynced().insert(pack_location(place.pack));
                return Ok(true);
            }
        }
        if self.is_remote() || !self.is_whole(digest, bytes).await? {
            return Ok(false);
        }
        if let Some(disk) = &self.disk {
            disk.unsynced().insert(location(digest));
        }
        Ok(true)
    }

    /// Stores objects in packs, whatever their number.
    pub(super) async fn put_packs(&self, objects: Vec<Named>) -> Result<(), RegistryError> {
        stream::iter(cut(objects))
            .map(|objects| self.put_pack(objects))
            .buffer_unordered(self.concurrent())
            .try_for_each(|_| async { Ok(()) })
            .await
    }

    /// Stores objects in one pack, and returns its digest.
    pub(super) async fn put_pack(&self, objects: Vec<Named>) -> Result<Digest, RegistryError> {
        let parts: Vec<(Digest, &[u8])> = objects.iter().map(|(d, b)| (*d, &b[..])).collect();
        let (whole, entries) = pack::write(&parts).map_err(|reason| RegistryError::Document {
            what: "pack".into(),
            reason,
        })?;
        drop(objects);
        let (name, size) = (Digest::from_content(&whole), whole.len() as u64);
        crash::point("pack");
        self.write(pack_location(name), whole).await?;
        crash::point("pack written");
        self.packs.add(name, size, SystemTime::now(), &entries);
        Ok(name)
    }

    pub(super) fn concurrent(&self) -> usize {
        match self.is_remote() {
            true => WAITING,
            false => CONCURRENT,
        }
    }

    /// Looks for packs that others have written or removed since they were looked for so often. Returns how often
    /// that is now.
    ///
    /// # Errors
    /// [`RegistryError::Objects`].
    pub(super) async fn look(&self, seen: u64) -> Result<u64, RegistryError> {
        let _one_at_a_time = self.packs.looking.lock().await;
        let looked = self.packs.looked();
        if looked > seen {
            return Ok(looked);
        }
        let found: Vec<object_store::ObjectMeta> = self
            .objects
            .list(Some(&Location::from(PACKS)))
            .try_collect()
            .await
            .map_err(|error| self.failed(error))?;
        let found: BTreeMap<Digest, _> = found
            .into_iter()
            .filter_map(|meta| Some((pack_of(&meta.location)?, meta)))
            .collect();
        let known = self.packs.names();
        let gone: BTreeSet<Digest> = known
            .iter()
            .filter(|digest| !found.contains_key(digest))
            .copied()
            .collect();
        self.forget(&gone);
        let new = found
            .into_iter()
            .filter(|(digest, _)| !known.contains(digest));
        let read = new.map(|(digest, meta)| self.found(digest, meta));
        let mut read = stream::iter(read).buffer_unordered(self.concurrent());
        while let Some(found) = read.next().await {
            let (digest, size, written, header) = found?;
            match header {
                Header::Entries(entries) => self.packs.add(digest, size, written, &entries),
                Header::Broken(reason) => self.packs.add_broken(digest, reason),
                Header::Gone => {}
            }
        }
        self.packs.has_looked();
        Ok(self.packs.looked())
    }

    /// Forgets packs that are gone, and what was read of them.
    pub(super) fn forget(&self, gone: &BTreeSet<Digest>) {
        self.packs.forget(gone);
        self.window.forget(gone);
    }

    /// Reads which objects a pack has.
    async fn found(
        &self,
        digest: Digest,
        meta: object_store::ObjectMeta,
    ) -> Result<Found, RegistryError> {
        let written = SystemTime::from(meta.last_modified);
        let header = self.header(digest, meta.size).await?;
        Ok((digest, meta.size, written, header))
    }

    async fn header(&self, pack: Digest, size: u64) -> Result<Header, RegistryError> {
        let Some(mut start) = self.pack_bytes(pack, &(0..size.min(HEADER))).await? else {
            return Ok(Header::Gone);
        };
        let length = match pack::header_length(&start, size) {
            Ok(length) => length,
            Err(reason) => return Ok(Header::Broken(reason)),
        };
        let have = start.len() as u64;
        if have < length {
            match self.pack_bytes(pack, &(have..length)).await? {
                Some(rest) => start.extend(rest),
                None => return Ok(Header::Gone),
            }
        }
        start.truncate(length as usize);
        Ok(match pack::read(&start) {
            Ok(entries) => Header::Entries(entries),
            Err(reason) => Header::Broken(reason),
        })
    }

    /// Some bytes of a pack, if it is there.
    pub(super) async fn pack_bytes(
        &self,
        pack: Digest,
        range: &Range<u64>,
    ) -> Result<Option<Vec<u8>>, RegistryError> {
        let place = pack_location(pack);
        if let Some(disk) = &self.disk {
            return disk.read_range(&place, range);
        }
        if range.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let read: StoreResult<_> = self.objects.get_range(&place, range.clone()).await;
        match read {
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            read => Ok(Some(read.map_err(|error| self.failed(error))?.into())),
        }
    }

    /// The bytes of an object, where it lies in a pack that is known.
    pub(super) async fn packed(&self, digest: Digest) -> Result<Vec<u8>, RegistryError> {
        let mut worst = RegistryError::Missing(digest);
        for place in self.packs.places(digest) {
            let read = match self.read_place(&place).await {
                Ok(bytes) => self.checked(digest, bytes),
                Err(error) => Err(error),
            };
            match read {
                Err(RegistryError::Missing(_)) => {}
                Err(damaged @ RegistryError::Damaged(_)) => worst = damaged,
                told => return told,
            }
        }
        Err(worst)
    }

    /// The bytes at a place: alone from a disk, and over a network with their neighbours, which are likely to be
    /// asked for next.
    pub(super) async fn read_place(&self, place: &Place) -> Result<Vec<u8>, RegistryError> {
        let digest = place.entry.digest;
        let missing = || RegistryError::Missing(digest);
        let (range, together) = (place.entry.range(), &place.together);
        if self.disk.is_some() {
            return self
                .pack_bytes(place.pack, &range)
                .await?
                .ok_or_else(missing);
        }
        let read = || async {
            let bytes = self.pack_bytes(place.pack, together).await?;
            bytes.ok_or_else(missing)
        };
        let part = self.window.read(place.pack, together, read).await?;
        let from = (range.start - together.start) as usize;
        let bytes = part.get(from..from + place.entry.length as usize);
        Ok(bytes.ok_or(RegistryError::Damaged(digest))?.to_vec())
    }
}

/// Objects in their order, in packs of no more than a size.
fn cut(objects: Vec<Named>) -> Vec<Vec<Named>> {
    let mut packs: Vec<Vec<Named>> = Vec::new();
    let mut size = LARGE;
    for object in objects {
        if size + object.1.len() > LARGE {
            packs.push(Vec::new());
            size = 0;
        }
        size += object.1.len();
        if let Some(pack) = packs.last_mut() {
            pack.push(object);
        }
    }
    packs
}
