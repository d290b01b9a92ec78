//! A card that the registry has: open, or to be opened when it is read.

use std::sync::Arc;

use disinherit_registry::{CardReader, CardRow, Registry};

use crate::error::EngineError;

/// A card by which a model is edited. Of thousands only the rows are kept.
#[derive(Debug, Clone)]
pub(crate) struct KeptCard {
    row: Option<CardRow>,
    open: Option<Arc<CardReader>>,
    /// Whether it says what the network makes of each class.
    pub(crate) has_activations: bool,
}

impl KeptCard {
    /// A card that is open, and its row where the registry has it.
    pub(crate) fn new(reader: CardReader, row: Option<CardRow>) -> Self {
        Self {
            row,
            has_activations: reader.has_activations(),
            open: Some(Arc::new(reader)),
        }
    }

    /// The same, to be opened again where `keep` does not hold and the registry has it.
    #[must_use]
    pub(crate) fn kept_open(mut self, keep: bool) -> Self {
        if !keep && self.row.is_some() {
            self.open = None;
        }
        self
    }

    /// The same card, open: for work that reads it several times.
    ///
    /// # Errors
    /// What the registry says.
    pub(crate) fn opened(&self, registry: &Registry) -> Result<Self, EngineError> {
        Ok(Self {
            open: Some(self.reader(registry)?),
            ..self.clone()
        })
    }

    /// The card, opened.
    ///
    /// # Errors
    /// What the registry says.
    pub(crate) fn reader(&self, registry: &Registry) -> Result<Arc<CardReader>, EngineError> {
        match (&self.open, &self.row) {
            (Some(reader), _) => Ok(Arc::clone(reader)),
            (None, Some(row)) => Ok(Arc::new(registry.card_of(row)?)),
            (None, None) => Err(EngineError::Internal(
                "a card is neither open nor in the registry".into(),
            )),
        }
    }
}
