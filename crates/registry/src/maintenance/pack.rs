//! Bringing small objects together into packs.

use std::collections::{BTreeMap, HashSet};

use crate::cards::row::CardRow;
use crate::catalog::rows::ModelRow;
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::objects::gather::Gathered;
use crate::registry::Registry;

impl Registry {
    /// Brings small objects that lie alone into packs, and small packs together, so that requests over many models
    /// read a few large files instead of many small ones. Objects that nothing speaks of stay where they are.
    ///
    /// # Errors
    /// [`RegistryError::Busy`] when somebody writes; [`RegistryError::Missing`] or [`RegistryError::Damaged`] when a
    /// manifest or card cannot be read, [`RegistryError::Pack`] when a pack cannot: nothing is changed then.
    pub fn pack_objects(&self) -> Result<Gathered, RegistryError> {
        let alone = self.alone()?;
        let order = self.reading_order()?;
        alone.check()?;
        let gathered = self.wait(self.blobs().gather(&order))?;
        drop(alone);
        Ok(gathered)
    }

    /// Every object that is needed, in an order in which requests over many models find neighbours beside each
    /// other: what is read of all models before the first edit, then what their edits read, then the rest.
    fn reading_order(&self) -> Result<Vec<Digest>, RegistryError> {
        let mut models = self.models()?;
        models.retain(|row| !row.purged);
        models.sort_by(|a, b| a.vertex.id.cmp(&b.vertex.id));
        let mut cards: BTreeMap<Digest, Vec<CardRow>> = BTreeMap::new();
        for card in self.all_cards()? {
            cards.entry(card.model).or_default().push(card);
        }
        // Models share most of their tensors, and some share parts of their cards.
        let (mut order, mut edits, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        let mut seen = HashSet::new();
        for ModelRow { manifest, .. } in &models {
            if !seen.insert(*manifest) {
                continue;
            }
            order.push(*manifest);
            let tensors = self.manifest(*manifest)?.tensors;
            let digests = tensors.values().map(|tensor| tensor.digest);
            edits.extend(digests.filter(|digest| seen.insert(*digest)));
            for card in cards.remove(manifest).unwrap_or_default() {
                order.extend(seen.insert(card.blob).then_some(card.blob));
                let mut parts = self.card_of(&card)?.parts().into_iter();
                edits.extend(parts.next().filter(|digest| seen.insert(*digest)));
                rest.extend(parts.filter(|digest| seen.insert(*digest)));
            }
        }
        order.append(&mut edits);
        order.append(&mut rest);
        let needed = self.needed()?.into_iter();
        order.extend(needed.filter(|digest| seen.insert(*digest)));
        Ok(order)
    }
}
