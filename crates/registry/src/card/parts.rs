//! Cards as the registry keeps them: an index and a blob for each part, so that an edit reads the
//! few kilobytes that it needs and not the per-class values of every heir.

use std::collections::{BTreeMap, HashMap};

use fiun::{FisherTensor, HeadFisher, LayerFisher};
use serde::{Deserialize, Serialize};

use super::file::{Parts, put_classes, put_inner, put_total};
use super::{CardHeader, FORMAT, FisherCard};
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::registry::Registry;
use disinherit_formats::Tensor;
use disinherit_formats::to_safetensors;

/// What a part holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    /// The head's FIM over all samples.
    Total,
    /// The head's FIM of each class.
    Classes,
    /// The FIM of inner layers.
    Inner,
}

/// The blob that a card's row points at.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Index {
    format: String,
    #[serde(flatten)]
    header: CardHeader,
    parts: BTreeMap<Part, Digest>,
}

impl Index {
    pub(crate) fn new(header: CardHeader, parts: BTreeMap<Part, Digest>) -> Self {
        Self {
            format: FORMAT.to_owned(),
            header,
            parts,
        }
    }

    /// The objects of its parts.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Digest> + '_ {
        self.parts.values().copied()
    }
}

/// The parts of a card, each a safetensors file.
pub(crate) fn parts(card: &FisherCard) -> Result<Vec<(Part, Vec<u8>)>, RegistryError> {
    let file = |fill: &dyn Fn(&mut BTreeMap<String, Tensor>)| {
        let mut tensors = BTreeMap::new();
        fill(&mut tensors);
        to_safetensors(&tensors, HashMap::new()).map_err(RegistryError::Card)
    };
    let fisher = &card.fisher;
    let mut list = vec![
        (Part::Total, file(&|t| put_total(t, &fisher.total))?),
        (
            Part::Classes,
            file(&|t| put_classes(t, &fisher.per_class, &fisher.total))?,
        ),
    ];
    if !card.inner.is_empty() {
        list.push((Part::Inner, file(&|t| put_inner(t, &card.inner))?));
    }
    Ok(list)
}

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
        if index.format != FORMAT {
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
    pub fn total(&self, registry: &Registry) -> Result<LayerFisher, RegistryError> {
        match &self.source {
            Source::Whole(card) => Ok(card.fisher.total.clone()),
            Source::Parts(index) => {
                let bytes = part(registry, index, Part::Total)?;
                let total = Parts::open(&bytes)?.total(&index.header)?;
                super::check_total(&index.header, &total)?;
                Ok(total)
            }
        }
    }

    /// The head's FIM, per class and in total.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn head(&self, registry: &Registry) -> Result<HeadFisher, RegistryError> {
        match &self.source {
            Source::Whole(card) => Ok(card.fisher.clone()),
            Source::Parts(index) => {
                let total = self.total(registry)?;
                let bytes = part(registry, index, Part::Classes)?;
                let per_class = Parts::open(&bytes)?.classes(&index.header)?;
                super::check_classes(&index.header, &per_class, &total)?;
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
        registry: &Registry,
    ) -> Result<BTreeMap<String, FisherTensor>, RegistryError> {
        match &self.source {
            Source::Whole(card) => Ok(card.inner.clone()),
            Source::Parts(index) if !index.parts.contains_key(&Part::Inner) => Ok(BTreeMap::new()),
            Source::Parts(index) => {
                let bytes = part(registry, index, Part::Inner)?;
                Parts::open(&bytes)?.inner()
            }
        }
    }

    /// The whole card.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn card(&self, registry: &Registry) -> Result<FisherCard, RegistryError> {
        Ok(FisherCard {
            header: self.header().clone(),
            fisher: self.head(registry)?,
            inner: self.inner(registry)?,
        })
    }
}

fn part(registry: &Registry, index: &Index, part: Part) -> Result<Vec<u8>, RegistryError> {
    match index.parts.get(&part) {
        Some(digest) => registry.blob(*digest),
        None => Err(RegistryError::Card(format!("it lacks its part {part:?}"))),
    }
}
