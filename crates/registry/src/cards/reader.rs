//! Cards whose values are read when they are asked for.

use std::collections::BTreeMap;

use fiun::{FisherTensor, HeadFisher, LayerFisher};

use crate::cards::activations::ActivationStatistics;
use crate::cards::card::{FisherCard, check_classes, check_total};
use crate::cards::file::Parts;
use crate::cards::header::{CardHeader, FORMAT};
use crate::cards::parts::{Index, Part};
use crate::cards::rows::FisherRows;
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::objects::read::ReadObject;

/// A card of the registry whose values are read when they are asked for.
#[derive(Debug, Clone)]
pub struct CardReader {
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Parts(Box<Index>),
    Whole(Box<FisherCard>),
}

impl From<FisherCard> for CardReader {
    fn from(card: FisherCard) -> Self {
        Self {
            source: Source::Whole(Box::new(card)),
        }
    }
}

impl CardReader {
    /// Reads an index, or a whole card as earlier versions kept it.
    pub(crate) fn open(bytes: &[u8]) -> Result<Self, RegistryError> {
        if bytes.first() != Some(&b'{') {
            return FisherCard::from_bytes(bytes).map(Self::from);
        }
        let index: Index = serde_json::from_slice(bytes)
            .map_err(|error| RegistryError::Card(error.to_string()))?;
        if !index.is_known() {
            return Err(RegistryError::Card(format!(
                "it has format `{}`, this version reads `{FORMAT}`",
                index.format
            )));
        }
        Ok(Self {
            source: Source::Parts(Box::new(index)),
        })
    }

    /// The objects of the card's parts, besides its own.
    pub(crate) fn parts(&self) -> Vec<Digest> {
        match &self.source {
            Source::Parts(index) => index.parts().collect(),
            Source::Whole(_) => Vec::new(),
        }
    }

    /// What the card says about itself.
    pub fn header(&self) -> &CardHeader {
        match &self.source {
            Source::Parts(index) => &index.header,
            Source::Whole(card) => &card.header,
        }
    }

    /// The head's FIM over all samples.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn total(&self, objects: &dyn ReadObject) -> Result<LayerFisher, RegistryError> {
        match &self.source {
            Source::Whole(card) => Ok(card.fisher.total.clone()),
            Source::Parts(index) => {
                let bytes = part(objects, index, Part::Total)?;
                let total = Parts::open(&bytes)?.total(&index.header)?;
                check_total(&index.header, &total)?;
                Ok(total)
            }
        }
    }

    /// The head's FIM, per class and in total.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn head(&self, objects: &dyn ReadObject) -> Result<HeadFisher, RegistryError> {
        match &self.source {
            Source::Whole(card) => Ok(card.fisher.clone()),
            Source::Parts(index) => {
                let total = self.total(objects)?;
                let bytes = part(objects, index, Part::Classes)?;
                let per_class = Parts::open(&bytes)?.classes(&index.header)?;
                check_classes(&index.header, &per_class, &total)?;
                Ok(HeadFisher {
                    estimator: index.header.estimator,
                    counts: index.header.counts.clone(),
                    per_class,
                    total,
                })
            }
        }
    }

    /// The FIM of inner layers.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn inner(
        &self,
        objects: &dyn ReadObject,
    ) -> Result<BTreeMap<String, FisherTensor>, RegistryError> {
        match &self.source {
            Source::Whole(card) => Ok(card.inner.clone()),
            Source::Parts(index) if !index.inner.is_empty() => {
                let layers = index.inner.keys();
                layers
                    .map(|name| Ok((name.clone(), self.layer(objects, name)?.whole()?)))
                    .collect()
            }
            Source::Parts(index) if !index.parts.contains_key(&Part::Inner) => Ok(BTreeMap::new()),
            Source::Parts(index) => {
                let bytes = part(objects, index, Part::Inner)?;
                Parts::open(&bytes)?.inner()
            }
        }
    }

    /// Whether the FIM of each inner layer is kept by itself, so that one can be read after the other.
    pub fn is_split(&self) -> bool {
        matches!(&self.source, Source::Parts(index) if !index.inner.is_empty())
    }

    /// The FIM of one inner layer, to be read some rows at a time.
    ///
    /// # Errors
    /// [`RegistryError`], also where the card does not have it.
    pub fn layer(&self, objects: &dyn ReadObject, name: &str) -> Result<FisherRows, RegistryError> {
        let lacks = || RegistryError::Card(format!("it does not have the layer `{name}`"));
        let digest = match &self.source {
            Source::Parts(index) if !index.inner.is_empty() => index.inner.get(name),
            _ => {
                let whole = self.inner(objects)?.remove(name);
                return Ok(whole.ok_or_else(lacks)?.into());
            }
        };
        let digest = digest.ok_or_else(lacks)?;
        if let Some(path) = objects.object_file(*digest)? {
            return FisherRows::open(&path, name);
        }
        let bytes = objects.object(*digest)?;
        let whole = Parts::open(&bytes)?.inner()?.remove(name);
        Ok(whole.ok_or_else(lacks)?.into())
    }

    /// Whether the card says what the network makes of each class.
    pub fn has_activations(&self) -> bool {
        match &self.source {
            Source::Whole(card) => card.activations.is_some(),
            Source::Parts(index) => index.parts.contains_key(&Part::Activations),
        }
    }

    /// What the network makes of each class, where the card says that.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn activations(
        &self,
        objects: &dyn ReadObject,
    ) -> Result<Option<ActivationStatistics>, RegistryError> {
        match &self.source {
            Source::Whole(card) => Ok(card.activations.clone()),
            Source::Parts(_) if !self.has_activations() => Ok(None),
            Source::Parts(index) => {
                ActivationStatistics::read(&part(objects, index, Part::Activations)?)
            }
        }
    }

    /// The whole card.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn card(&self, objects: &dyn ReadObject) -> Result<FisherCard, RegistryError> {
        Ok(FisherCard {
            header: self.header().clone(),
            fisher: self.head(objects)?,
            inner: self.inner(objects)?,
            activations: self.activations(objects)?,
        })
    }
}

fn part(objects: &dyn ReadObject, index: &Index, part: Part) -> Result<Vec<u8>, RegistryError> {
    match index.parts.get(&part) {
        Some(digest) => objects.object(*digest),
        None => Err(RegistryError::Card(format!(
            "it lacks its part `{}`",
            part.name()
        ))),
    }
}

/// Reads a card's index, or a whole card, as the registry does; whatever it is, it must not panic.
#[cfg(feature = "fuzzing")]
pub fn read_card_index(bytes: &[u8]) {
    let _ = CardReader::open(bytes);
}
