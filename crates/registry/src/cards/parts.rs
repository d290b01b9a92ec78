//! Cards as the registry keeps them: an index and a blob for each part, so that an edit reads the
//! few kilobytes that it needs and not the per-class values of every descendant.

use std::collections::{BTreeMap, HashMap};

use disinherit_formats::{Tensor, to_safetensors};
use fiun::FisherTensor;
use serde::{Deserialize, Serialize};

use crate::cards::card::FisherCard;
use crate::cards::file::{put_classes, put_inner, put_total};
use crate::cards::header::{CardHeader, FORMAT};
use crate::digest::Digest;
use crate::error::RegistryError;

/// The format of an index whose inner layers have a part each.
const SPLIT: &str = "fim-card/3";

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
    /// What the network makes of each class.
    Activations,
}

impl Part {
    /// Its name, as the index has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::Classes => "classes",
            Self::Inner => "inner",
            Self::Activations => "activations",
        }
    }
}

/// The blob that a card's row points at.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Index {
    pub(crate) format: String,
    #[serde(flatten)]
    pub(crate) header: CardHeader,
    pub(crate) parts: BTreeMap<Part, Digest>,
    /// The FIM of each inner layer, where all together are too large for one part.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) inner: BTreeMap<String, Digest>,
}

impl Index {
    pub(crate) fn new(
        header: CardHeader,
        parts: BTreeMap<Part, Digest>,
        inner: BTreeMap<String, Digest>,
    ) -> Self {
        // What does not know inner layers in parts of their own must not take the card for one without any.
        let format = if inner.is_empty() { FORMAT } else { SPLIT };
        Self {
            format: format.to_owned(),
            header,
            parts,
            inner,
        }
    }

    /// Whether this version reads it.
    pub(crate) fn is_known(&self) -> bool {
        self.format == FORMAT || self.format == SPLIT
    }

    /// The objects of its parts.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Digest> + '_ {
        self.parts.values().chain(self.inner.values()).copied()
    }
}

/// The parts of a card, each a safetensors file; `inner` holds the layers below the head that go into one part.
pub(crate) fn parts(
    card: &FisherCard,
    inner: &BTreeMap<String, FisherTensor>,
) -> Result<Vec<(Part, Vec<u8>)>, RegistryError> {
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
    if !inner.is_empty() {
        list.push((Part::Inner, file(&|t| put_inner(t, inner))?));
    }
    if let Some(activations) = &card.activations {
        let (mut tensors, mut metadata) = (BTreeMap::new(), HashMap::new());
        activations.put(&mut tensors, &mut metadata)?;
        let bytes = to_safetensors(&tensors, metadata).map_err(RegistryError::Card)?;
        list.push((Part::Activations, bytes));
    }
    Ok(list)
}
