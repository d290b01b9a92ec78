//! Which objects are needed.

use std::collections::BTreeSet;

use crate::cards::parts::Index as CardIndex;
use crate::cards::row::CardRow;
use crate::catalog::rows::ModelRow;
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::objects::manifest::Manifest;
use crate::objects::read::ReadObject;
use crate::registry::Registry;
use crate::registry::samples::kept_of;
use crate::samples::index::Index;
use crate::samples::shelf::unreadable;

impl Registry {
    /// The objects of a model version.
    fn collect_model(
        &self,
        manifest: Digest,
        into: &mut BTreeSet<Digest>,
    ) -> Result<(), RegistryError> {
        if into.insert(manifest) {
            into.extend(self.manifest(manifest)?.objects());
        }
        Ok(())
    }

    /// The objects of a card.
    fn collect_card(
        &self,
        card: &CardRow,
        into: &mut BTreeSet<Digest>,
    ) -> Result<(), RegistryError> {
        if into.insert(card.blob) {
            into.extend(self.card_of(card)?.parts());
        }
        Ok(())
    }

    /// The lists of samples that a model version was trained on.
    fn collect_samples(
        &self,
        row: &ModelRow,
        into: &mut BTreeSet<Digest>,
    ) -> Result<(), RegistryError> {
        for kept in kept_of(row) {
            let list: Digest = kept.list().parse()?;
            if into.insert(list) {
                into.extend(self.sample_list(list)?.objects());
            }
        }
        Ok(())
    }

    /// A list of samples, without its entries.
    pub(super) fn sample_list(&self, list: Digest) -> Result<Index, RegistryError> {
        Index::read(&self.object(list)?).map_err(|reason| unreadable(list, reason))
    }

    /// Every object that models and cards speak of.
    pub(super) fn objects_for<'a>(
        &self,
        models: impl IntoIterator<Item = &'a ModelRow>,
        cards: impl IntoIterator<Item = &'a CardRow>,
    ) -> Result<BTreeSet<Digest>, RegistryError> {
        let mut objects = BTreeSet::new();
        for row in models {
            self.collect_model(row.manifest, &mut objects)?;
            self.collect_samples(row, &mut objects)?;
        }
        for card in cards {
            self.collect_card(card, &mut objects)?;
        }
        Ok(objects)
    }

    /// Every object that the registry needs: of versions that are not purged, their cards, the finished
    /// tasks of requests that have not been published, and what erasure requests speak of.
    pub(super) fn needed(&self) -> Result<BTreeSet<Digest>, RegistryError> {
        let models = self.models()?;
        let kept = models.iter().filter(|row| !row.purged);
        let mut objects = self.objects_for(kept, &self.all_cards()?)?;
        objects.extend(self.needed_by_drafts()?);
        objects.extend(self.needed_by_erasures()?);
        Ok(objects)
    }

    /// Every object that erasure requests speak of, and of their lists of samples what these speak of.
    pub(super) fn needed_by_erasures(&self) -> Result<BTreeSet<Digest>, RegistryError> {
        let mut objects = BTreeSet::new();
        for erasure in self.wait(self.catalog().all_erasures())? {
            objects.extend(erasure.objects.iter().copied());
            if let Some(list) = erasure.list()?
                && objects.insert(list)
            {
                objects.extend(self.sample_list(list)?.objects());
            }
        }
        Ok(objects)
    }

    /// Every object that unpublished requests need.
    pub(super) fn needed_by_drafts(&self) -> Result<BTreeSet<Digest>, RegistryError> {
        let mut objects = BTreeSet::new();
        for draft in self.all_drafts()? {
            for digest in draft.blobs {
                objects.insert(digest);
                // What is gone or damaged is made anew when the request goes on.
                let Ok(bytes) = self.object(digest) else {
                    continue;
                };
                if let Ok(manifest) = serde_json::from_slice::<Manifest>(&bytes) {
                    objects.extend(manifest.objects());
                } else if let Ok(index) = serde_json::from_slice::<CardIndex>(&bytes) {
                    objects.extend(index.parts());
                }
            }
        }
        Ok(objects)
    }
}
