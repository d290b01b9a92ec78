//! The values of a card that is to be kept: in memory, or in a file that may be larger than memory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use disinherit_formats::{Checkpoint, FormatError, TensorSource, to_safetensors};

use crate::cards::card::FisherCard;
use crate::cards::file::{INNER, SCALE};
use crate::cards::rows::{FisherRows, Layer};
use crate::error::RegistryError;

/// The values of a card that is to be kept.
pub trait CardValues {
    /// All but the layers below the head; its header names those.
    fn head(&self) -> &FisherCard;

    /// The Fisher information of a layer below the head.
    ///
    /// # Errors
    /// [`RegistryError`] when there is none, or it cannot be read.
    fn layer(&self, name: &str) -> Result<FisherRows, RegistryError>;
}

impl CardValues for FisherCard {
    fn head(&self) -> &FisherCard {
        self
    }

    fn layer(&self, name: &str) -> Result<FisherRows, RegistryError> {
        let layer = self.inner.get(name).cloned();
        let layer = layer.ok_or_else(|| RegistryError::Card(format!("it has no `{name}`")))?;
        Ok(layer.into())
    }
}

/// A card in a file: the layers below the head are read when they are asked for.
pub struct CardFile {
    file: Arc<Checkpoint>,
    head: FisherCard,
}

impl CardFile {
    /// Opens a card's file.
    ///
    /// # Errors
    /// [`RegistryError`] when it cannot be read, or is no card.
    pub fn open(path: &Path) -> Result<Self, RegistryError> {
        let file = Checkpoint::open(path).map_err(|error| match error {
            FormatError::Checkpoint { path, reason } => {
                RegistryError::Card(format!("{}: {reason}", path.display()))
            }
            other => other.into(),
        })?;
        let names: Vec<String> = file.tensors().into_keys().collect();
        let (inner, other): (Vec<&String>, Vec<&String>) =
            names.iter().partition(|name| name.starts_with(INNER));
        let tensors = other
            .into_iter()
            .map(|name| Ok((name.clone(), file.tensor(name)?)))
            .collect::<Result<BTreeMap<_, _>, RegistryError>>()?;
        let bytes = to_safetensors(&tensors, file.metadata()).map_err(RegistryError::Card)?;
        let mut head = FisherCard::from_bytes(&bytes)?;
        let scale = format!(".{SCALE}");
        let layers = inner.into_iter().filter(|name| !name.ends_with(&scale));
        let layers = layers.filter_map(|name| name.strip_prefix(INNER));
        head.header.layers = layers.map(str::to_owned).collect();
        for name in &head.header.layers {
            Layer::find(&file, name)?;
        }
        Ok(Self {
            file: Arc::new(file),
            head,
        })
    }
}

impl CardValues for CardFile {
    fn head(&self) -> &FisherCard {
        &self.head
    }

    fn layer(&self, name: &str) -> Result<FisherRows, RegistryError> {
        FisherRows::in_file(Arc::clone(&self.file), name)
    }
}
