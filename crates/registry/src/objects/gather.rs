//! Bringing small objects that lie alone into packs, and small packs together.

use std::collections::{BTreeSet, HashMap, HashSet};

use futures::stream::{self, StreamExt};
use serde::Serialize;

use crate::crash;
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::objects::blobs::{Blobs, SMALL};
use crate::objects::disk::location;
use crate::objects::packed::{FEWEST, LARGE, Named};

/// Packs below this are put together with others.
const LITTLE: u64 = LARGE as u64 / 8;

/// What was brought together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Gathered {
    /// Objects that lay alone, and lie in packs now.
    pub objects: usize,
    /// Small packs that are in others now.
    pub merged: usize,
    /// Packs that were written.
    pub packs: usize,
}

/// Objects on their way into packs.
struct Gathering<'a> {
    blobs: &'a Blobs,
    /// The small objects that lie alone.
    alone: HashSet<Digest>,
    /// The objects of small packs, and which pack each lies in.
    in_little: HashMap<Digest, Digest>,
    /// The small packs that can go.
    little: BTreeSet<Digest>,
    pending: Vec<Named>,
    size: usize,
    /// Objects that lie in a pack now and alone as well.
    moved: Vec<Digest>,
    written: BTreeSet<Digest>,
}

impl Blobs {
    /// Brings small objects that lie alone into packs, in this order, and small packs together. What is damaged
    /// stays where it is, and so does what lies alone and is not in the order.
    ///
    /// # Errors
    /// [`RegistryError::Pack`] when a pack cannot be read, or what the storage says; what is not in a pack on the
    /// disk by then still lies where it was.
    pub(crate) async fn gather(&self, order: &[Digest]) -> Result<Gathered, RegistryError> {
        self.look(self.packs.looked()).await?;
        self.check_packs()?;
        let mut gathering = self.gathering().await?;
        let ordered: HashSet<&Digest> = order.iter().collect();
        // What nothing refers to, or nothing yet, moves with the small pack that it lies in.
        let others = gathering.in_little.keys();
        let others: Vec<Digest> = others.filter(|d| !ordered.contains(d)).copied().collect();
        drop(ordered);
        let wanted: Vec<Digest> = order
            .iter()
            .chain(&others)
            .filter(|digest| gathering.wants(digest))
            .copied()
            .collect();
        let reads = wanted
            .into_iter()
            .map(|digest| async move { (digest, self.get(digest).await) });
        let mut reads = stream::iter(reads).buffered(self.concurrent());
        while let Some((digest, read)) = reads.next().await {
            gathering.take(digest, read).await?;
        }
        drop(reads);
        gathering.finish().await
    }

    async fn gathering(&self) -> Result<Gathering<'_>, RegistryError> {
        let alone = self.list_alone().await?.into_iter();
        let small = alone.filter(|stored| stored.size <= SMALL as u64);
        let packs = self.packs.packs().into_iter();
        let little = packs.filter(|pack| pack.size < LITTLE);
        let mut gathering = Gathering {
            blobs: self,
            alone: small.map(|stored| stored.digest).collect(),
            in_little: HashMap::new(),
            little: little.map(|pack| pack.digest).collect(),
            pending: Vec::new(),
            size: 0,
            moved: Vec::new(),
            written: BTreeSet::new(),
        };
        self.packs.each(|digest, pack, _| {
            if gathering.little.contains(&pack.digest) {
                gathering.in_little.insert(digest, pack.digest);
            }
        });
        Ok(gathering)
    }
}

impl Gathering<'_> {
    fn wants(&self, digest: &Digest) -> bool {
        self.alone.contains(digest) || self.in_little.contains_key(digest)
    }

    /// Takes an object up.
    async fn take(
        &mut self,
        digest: Digest,
        read: Result<Vec<u8>, RegistryError>,
    ) -> Result<(), RegistryError> {
        let bytes = match read {
            Err(RegistryError::Missing(_) | RegistryError::Damaged(_)) => {
                // The pack stays too, with what can be read of it.
                if let Some(pack) = self.in_little.get(&digest) {
                    self.little.remove(pack);
                }
                return Ok(());
            }
            read => read?,
        };
        if self.size + bytes.len() > LARGE {
            self.write().await?;
        }
        self.size += bytes.len();
        self.pending.push((digest, bytes));
        Ok(())
    }

    async fn write(&mut self) -> Result<(), RegistryError> {
        let objects = std::mem::take(&mut self.pending);
        self.size = 0;
        let names = objects.iter().map(|(digest, _)| *digest);
        let names: Vec<Digest> = names.filter(|digest| self.alone.contains(digest)).collect();
        self.written.insert(self.blobs.put_pack(objects).await?);
        self.moved.extend(names);
        Ok(())
    }

    /// Writes the last pack, and removes what lies twice once all packs are on the disk.
    async fn finish(mut self) -> Result<Gathered, RegistryError> {
        let few = self.pending.len() < FEWEST && self.written.is_empty() && self.little.is_empty();
        if !self.pending.is_empty() && !few {
            self.write().await?;
        }
        self.blobs.sync().await?;
        crash::point("packs gathered");
        // Of one small pack alone the same becomes again.
        let merged: Vec<Digest> = self.little.difference(&self.written).copied().collect();
        let gathered = Gathered {
            objects: self.moved.len(),
            merged: merged.len(),
            packs: self.written.len(),
        };
        let moved = std::mem::take(&mut self.moved).into_iter();
        self.blobs.delete(moved.map(location)).await?;
        for pack in merged {
            self.blobs.remove_pack(pack).await?;
        }
        Ok(gathered)
    }
}
