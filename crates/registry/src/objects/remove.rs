//! Removing objects, alone or in packs.

use std::collections::HashSet;

use futures::stream::{self, StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use object_store::path::Path as Location;

use crate::crash;
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::objects::blobs::Blobs;
use crate::objects::disk::{location, pack_location};
use crate::objects::pack;
use crate::objects::packed::{FEWEST, Named};

/// Objects removed at a time.
const CONCURRENT: usize = 16;

impl Blobs {
    /// Removes objects; one that is gone already counts as removed. A pack that some of them lie in is written again
    /// without them before it is removed.
    ///
    /// # Errors
    /// [`RegistryError::Pack`] when a pack cannot be read, so that it is unknown what lies in it: nothing is
    /// removed. [`RegistryError::Objects`]; some may have been removed.
    pub async fn remove(
        &self,
        digests: impl IntoIterator<Item = Digest>,
    ) -> Result<(), RegistryError> {
        let gone: HashSet<Digest> = digests.into_iter().collect();
        self.look(self.packs.looked()).await?;
        self.check_packs()?;
        let alone = self.list_alone().await?.into_iter();
        let alone = alone.filter(|stored| gone.contains(&stored.digest));
        self.delete(alone.map(|stored| location(stored.digest)))
            .await?;
        for pack in self.packs.holding(|digest| gone.contains(digest)) {
            self.without(pack, &gone).await?;
        }
        Ok(())
    }

    /// Refuses to go on where a pack cannot be read.
    ///
    /// # Errors
    /// [`RegistryError::Pack`].
    pub(crate) fn check_packs(&self) -> Result<(), RegistryError> {
        match self.packs.broken().into_iter().next() {
            None => Ok(()),
            Some((pack, reason)) => Err(RegistryError::Pack { pack, reason }),
        }
    }

    /// Packs that cannot be read, and why not.
    pub(crate) fn broken_packs(&self) -> Vec<(Digest, String)> {
        self.packs.broken().into_iter().collect()
    }

    /// Removes a pack that cannot be read.
    ///
    /// # Errors
    /// [`RegistryError::Objects`].
    pub(crate) async fn remove_pack(&self, pack: Digest) -> Result<(), RegistryError> {
        self.delete([pack_location(pack)]).await?;
        self.forget(&[pack].into());
        Ok(())
    }

    /// Deletes files.
    pub(super) async fn delete(
        &self,
        places: impl IntoIterator<Item = Location>,
    ) -> Result<(), RegistryError> {
        stream::iter(places)
            .map(|place| async move {
                crash::point("remove object");
                match self.objects.delete(&place).await {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                    Err(error) => Err(self.failed(error)),
                }
            })
            .buffer_unordered(CONCURRENT)
            .try_collect()
            .await
    }

    /// Writes the rest of a pack anew, and removes it. What is left of it is on the disk before it goes.
    pub(super) async fn without(
        &self,
        pack: Digest,
        gone: &HashSet<Digest>,
    ) -> Result<(), RegistryError> {
        let Some(objects) = self.objects_of(pack).await? else {
            return Ok(());
        };
        let rest: Vec<Named> = objects
            .into_iter()
            .filter(|(digest, _)| !gone.contains(digest))
            .collect();
        if !rest.is_empty() {
            self.keep_rest(rest).await?;
            self.sync().await?;
            crash::point("pack rewritten");
        }
        self.remove_pack(pack).await
    }

    /// Stores what is left of a pack: alone where there is little. Damaged bytes stay in a pack, under the name that
    /// they have, so that they take the place of nothing that is whole.
    async fn keep_rest(&self, rest: Vec<Named>) -> Result<(), RegistryError> {
        let whole = |(digest, bytes): &Named| Digest::from_content(bytes) == *digest;
        if rest.len() >= FEWEST || !rest.iter().all(whole) {
            return self.put_pack(rest).await.map(|_| ());
        }
        for (digest, bytes) in rest {
            self.put_named(digest, bytes).await?;
        }
        Ok(())
    }

    /// All objects of a pack with their bytes, if it is there.
    async fn objects_of(&self, pack: Digest) -> Result<Option<Vec<Named>>, RegistryError> {
        let Some(size) = self.packs.size(pack) else {
            return Ok(None);
        };
        let Some(bytes) = self.pack_bytes(pack, &(0..size)).await? else {
            return Ok(None);
        };
        let refuse = |reason| RegistryError::Pack { pack, reason };
        let header = pack::header_length(&bytes, bytes.len() as u64).map_err(refuse)?;
        let entries = pack::read(&bytes[..header as usize]).map_err(refuse)?;
        let objects = entries.into_iter().map(|entry| {
            let range = entry.range();
            let end = range.end.min(bytes.len() as u64);
            // Of a pack that was cut short, what is there.
            let part = bytes.get(range.start as usize..end as usize);
            (entry.digest, part.unwrap_or_default().to_vec())
        });
        Ok(Some(objects.collect()))
    }
}
