//! FIM cards: the Fisher information of a model on its training data, in a file.

mod file;
mod parts;

use std::collections::BTreeMap;

use fiun::{Estimator, FisherTensor, HeadFisher, LayerFisher, Precision};
use serde::{Deserialize, Serialize};

pub use self::parts::CardReader;
pub(crate) use self::parts::{Index, parts};
use crate::digest::Digest;
use crate::error::RegistryError;

/// The format of cards that this version writes.
pub(crate) const FORMAT: &str = "fim-card/2";

/// What a card says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CardHeader {
    /// The digest of the model.
    pub model: Digest,
    /// The digest of the data set (or share of one) that it was computed on.
    pub data: String,
    /// The name of the head, without `.weight` and `.bias`.
    pub head: String,
    /// How it was estimated.
    #[serde(with = "estimator_text")]
    pub estimator: Estimator,
    /// The label names of the head's rows.
    pub outputs: Vec<String>,
    /// The names of the data's classes, in the order of the per-class parts.
    pub classes: Vec<String>,
    /// The number of samples of each class.
    pub counts: Vec<u64>,
    /// The tensors of inner layers whose total FIM it holds, by full name.
    pub layers: Vec<String>,
    /// How sure it is, when it was computed on a part of the training data.
    pub precision: Option<Precision>,
    /// When it was computed, in milliseconds since 1970-01-01 UTC; 0 when it does not say.
    pub time: u64,
    /// What computed it.
    pub tool: String,
}

mod estimator_text {
    use fiun::Estimator;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &Estimator, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Estimator, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// Reads a card's index, or a whole card, as the registry does; whatever it is, it must not panic.
#[cfg(feature = "fuzzing")]
pub fn read_card_index(bytes: &[u8]) {
    let _ = CardReader::open(bytes);
}

impl CardHeader {
    /// The number of samples that it was computed from.
    pub fn samples(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// The FIM of a model: of its head per class of its training data and in total, of inner layers in
/// total. The file is described in `docs/formats.md`.
#[derive(Debug, Clone, PartialEq)]
pub struct FisherCard {
    /// What it is.
    pub header: CardHeader,
    /// Of the head.
    pub fisher: HeadFisher,
    /// Of inner layers, by the full name of the tensor.
    pub inner: BTreeMap<String, FisherTensor>,
}

/// What a card is made from, besides its values.
#[derive(Debug, Clone)]
pub struct CardSource {
    /// The digest of the model.
    pub model: Digest,
    /// The digest of the data.
    pub data: String,
    /// The name of the head.
    pub head: String,
    /// The label names of the head's rows.
    pub outputs: Vec<String>,
    /// The names of the data's classes.
    pub classes: Vec<String>,
    /// How sure it is.
    pub precision: Option<Precision>,
    /// When it was computed, in milliseconds since 1970-01-01 UTC.
    pub time: u64,
}

impl FisherCard {
    /// A card from its values.
    ///
    /// # Errors
    /// [`RegistryError::Card`] when there is not a name for each row and each class.
    pub fn new(
        source: CardSource,
        fisher: HeadFisher,
        inner: BTreeMap<String, FisherTensor>,
    ) -> Result<Self, RegistryError> {
        let header = CardHeader {
            model: source.model,
            data: source.data,
            head: source.head,
            estimator: fisher.estimator,
            outputs: source.outputs,
            classes: source.classes,
            counts: fisher.counts.clone(),
            layers: inner.keys().cloned().collect(),
            precision: source.precision,
            time: source.time,
            tool: format!("disinherit {}", env!("CARGO_PKG_VERSION")),
        };
        let card = Self {
            header,
            fisher,
            inner,
        };
        card.check()?;
        Ok(card)
    }

    fn check(&self) -> Result<(), RegistryError> {
        let (header, fisher) = (&self.header, &self.fisher);
        check_total(header, &fisher.total)?;
        check_classes(header, &fisher.per_class, &fisher.total)
    }
}

fn check_total(header: &CardHeader, total: &LayerFisher) -> Result<(), RegistryError> {
    if header.outputs.len() == total.weight.rows() {
        return Ok(());
    }
    Err(RegistryError::Card(format!(
        "it has {} label names for {} rows",
        header.outputs.len(),
        total.weight.rows()
    )))
}

fn check_classes(
    header: &CardHeader,
    per_class: &[LayerFisher],
    total: &LayerFisher,
) -> Result<(), RegistryError> {
    let classes = header.classes.len();
    if header.counts.len() != classes || per_class.len() != classes {
        return Err(RegistryError::Card(format!(
            "it has {} counts and {} FIMs for {classes} classes",
            header.counts.len(),
            per_class.len()
        )));
    }
    let odd = per_class
        .iter()
        .position(|class| class.weight.shape() != total.weight.shape());
    match odd {
        None => Ok(()),
        Some(class) => Err(RegistryError::Card(format!(
            "its FIM of class `{}` is {:?}, that of the whole {:?}",
            header.classes[class],
            per_class[class].weight.shape(),
            total.weight.shape()
        ))),
    }
}
