//! FIM cards in a registry.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;

use disinherit_formats::{Dtype, preamble};
use fiun::Estimator;

use crate::cards::file::{INNER, SCALE};
use crate::cards::parts::{Index, parts};
use crate::cards::reader::CardReader;
use crate::cards::row::CardRow;
use crate::cards::rows::FisherRows;
use crate::cards::values::CardValues;
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::objects::read::ReadObject;
use crate::registry::Registry;

/// Bytes of inner layers from which on each is kept by itself.
const LARGE: usize = 64 << 20;

/// Whether the inner layers of a card are too large to be kept, and read, together.
fn is_large(card: &dyn CardValues) -> Result<bool, RegistryError> {
    let mut values = 0usize;
    for name in &card.head().header.layers {
        let layer = card.layer(name)?;
        values = values.saturating_add(layer.shape().iter().product());
    }
    Ok(values.saturating_mul(4) > LARGE)
}

impl Registry {
    /// Stores a card, a blob for each part, and returns its row, to be published. Large inner layers are stored one
    /// after the other, some rows at a time.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn put_card(&self, card: &dyn CardValues) -> Result<CardRow, RegistryError> {
        self.writes()?;
        let head = card.head();
        let (mut whole, mut split) = (BTreeMap::new(), BTreeMap::new());
        let names = &head.header.layers;
        if is_large(card)? {
            for name in names {
                split.insert(name.clone(), self.put_layer(name, &card.layer(name)?)?);
            }
        } else {
            for name in names {
                whole.insert(name.clone(), card.layer(name)?.whole()?);
            }
        }
        let parts = parts(head, &whole)?;
        self.runtime.block_on(async {
            let mut digests = BTreeMap::new();
            for (part, bytes) in parts {
                digests.insert(part, self.blobs.put(bytes).await?);
            }
            let index = Index::new(head.header.clone(), digests, split);
            let text = serde_json::to_vec(&index)
                .map_err(|error| RegistryError::Card(error.to_string()))?;
            Ok(CardRow {
                model: head.header.model,
                estimator: head.header.estimator.to_string(),
                blob: self.blobs.put(text).await?,
            })
        })
    }

    /// Stores one inner layer as a file of its own.
    fn put_layer(&self, name: &str, layer: &FisherRows) -> Result<Digest, RegistryError> {
        let name = format!("{INNER}{name}");
        let scale = format!("{name}.{SCALE}");
        let rows = [layer.count()];
        let tensors = [
            (&name[..], Dtype::F32, layer.shape()),
            (&scale, Dtype::F64, &rows),
        ];
        let header = preamble(tensors, HashMap::new()).map_err(RegistryError::Card)?;
        let mut writer = self.tensor_writer(true)?;
        let stored = |error| RegistryError::io("store", &name)(error);
        writer.write_all(&header).map_err(stored)?;
        let mut scales = Vec::with_capacity(8 * layer.count());
        // A single number has no rows.
        let single = layer.shape().is_empty().then_some(0..0);
        for part in layer.parts().chain(single) {
            let part = layer.rows(part)?;
            let values = part.values().iter();
            let values: Vec<u8> = values.flat_map(|value| value.to_le_bytes()).collect();
            writer.write_all(&values).map_err(stored)?;
            scales.extend(part.scales().iter().flat_map(|scale| scale.to_le_bytes()));
        }
        writer.write_all(&scales).map_err(stored)?;
        writer.finish()
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
