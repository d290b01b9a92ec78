//! FIM cards in a registry.

use std::collections::BTreeMap;

use fiun::Estimator;

use crate::cards::card::FisherCard;
use crate::cards::parts::{Index, parts};
use crate::cards::reader::CardReader;
use crate::cards::row::CardRow;
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::objects::read::ReadObject;
use crate::registry::Registry;

impl Registry {
    /// Stores a card, a blob for each part, and returns its row, to be published.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn put_card(&self, card: &FisherCard) -> Result<CardRow, RegistryError> {
        let parts = parts(card)?;
        self.writes()?;
        self.runtime.block_on(async {
            let mut digests = BTreeMap::new();
            for (part, bytes) in parts {
                digests.insert(part, self.blobs.put(bytes).await?);
            }
            let index = Index::new(card.header.clone(), digests);
            let text = serde_json::to_vec(&index)
                .map_err(|error| RegistryError::Card(error.to_string()))?;
            Ok(CardRow {
                model: card.header.model,
                estimator: card.header.estimator.to_string(),
                blob: self.blobs.put(text).await?,
            })
        })
    }

    /// The card of a model with this estimator, if there is one. Its values are read when they are
    /// asked for.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn card(
        &self,
        model: Digest,
        estimator: Estimator,
    ) -> Result<Option<CardReader>, RegistryError> {
        let name = estimator.to_string();
        let row = self
            .cards(model)?
            .into_iter()
            .find(|row| row.estimator == name);
        row.map(|row| self.card_of(&row)).transpose()
    }

    /// The rows of all cards of a model.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn cards(&self, model: Digest) -> Result<Vec<CardRow>, RegistryError> {
        self.runtime.block_on(self.catalog.cards(Some(model)))
    }

    /// The card that a row speaks of.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn card_of(&self, row: &CardRow) -> Result<CardReader, RegistryError> {
        let reader = CardReader::open(&self.object(row.blob)?)?;
        if reader.header().model != row.model {
            return Err(RegistryError::Card("it speaks of another model".into()));
        }
        Ok(reader)
    }

    /// The rows of the cards of all models.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn all_cards(&self) -> Result<Vec<CardRow>, RegistryError> {
        self.runtime.block_on(self.catalog.cards(None))
    }
}
