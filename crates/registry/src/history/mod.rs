//! What can be done about the past: taking an operation back, deleting what superseded versions
//! remember, clearing away what was never published, and checking that everything is what it was.

mod check;
mod garbage;
mod purge;
mod undo;

pub use check::{Damage, Health};
pub use garbage::Garbage;
pub use purge::{Purge, Purged};
pub use undo::{Undone, undone_by};

use std::collections::BTreeSet;

use crate::card::Index;
use crate::catalog::{CardRow, ModelRow};
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::manifest::Manifest;
use crate::registry::Registry;

/// Milliseconds since 1970-01-01 UTC.
fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |time| time.as_millis() as u64)
}

impl Registry {
    /// The objects of a model version.
    fn objects_of_model(
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
    fn objects_of_card(
        &self,
        card: &CardRow,
        into: &mut BTreeSet<Digest>,
    ) -> Result<(), RegistryError> {
        if into.insert(card.blob) {
            into.extend(self.card_of(card)?.parts());
        }
        Ok(())
    }

    /// Every object that models and cards speak of.
    fn objects_of<'a>(
        &self,
        models: impl IntoIterator<Item = &'a ModelRow>,
        cards: impl IntoIterator<Item = &'a CardRow>,
    ) -> Result<BTreeSet<Digest>, RegistryError> {
        let mut objects = BTreeSet::new();
        for row in models {
            self.objects_of_model(row.manifest, &mut objects)?;
        }
        for card in cards {
            self.objects_of_card(card, &mut objects)?;
        }
        Ok(objects)
    }

    /// Every object that the registry needs: of versions that are not purged, their cards, and the
    /// finished tasks of requests that have not been published.
    fn needed(&self) -> Result<BTreeSet<Digest>, RegistryError> {
        let models = self.models()?;
        let kept = models.iter().filter(|row| !row.purged);
        let mut objects = self.objects_of(kept, &self.all_cards()?)?;
        objects.extend(self.needed_by_drafts()?);
        Ok(objects)
    }

    fn needed_by_drafts(&self) -> Result<BTreeSet<Digest>, RegistryError> {
        let mut objects = BTreeSet::new();
        for draft in self.all_drafts()? {
            for digest in draft.blobs {
                objects.insert(digest);
                // What is gone or damaged is made anew when the request goes on.
                let Ok(bytes) = self.blob(digest) else {
                    continue;
                };
                if let Ok(manifest) = serde_json::from_slice::<Manifest>(&bytes) {
                    objects.extend(manifest.objects());
                } else if let Ok(index) = serde_json::from_slice::<Index>(&bytes) {
                    objects.extend(index.parts());
                }
            }
        }
        Ok(objects)
    }
}
