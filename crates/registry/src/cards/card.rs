//! A FIM card: the Fisher information of a model on its training data.

use std::collections::BTreeMap;

use fiun::{FisherTensor, HeadFisher, LayerFisher, Precision};

use crate::cards::activations::ActivationStatistics;
use crate::cards::header::CardHeader;
use crate::digest::Digest;
use crate::error::RegistryError;

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
    /// What the network makes of each class, for edits below the head without data.
    pub activations: Option<ActivationStatistics>,
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
            activations: None,
        };
        card.check()?;
        Ok(card)
    }

    pub(crate) fn check(&self) -> Result<(), RegistryError> {
        let (header, fisher) = (&self.header, &self.fisher);
        check_total(header, &fisher.total)?;
        check_classes(header, &fisher.per_class, &fisher.total)
    }
}

/// Whether a head's FIM has a row for each label name.
pub(crate) fn check_total(header: &CardHeader, total: &LayerFisher) -> Result<(), RegistryError> {
    if header.outputs.len() == total.weight.rows() {
        return Ok(());
    }
    Err(RegistryError::Card(format!(
        "it has {} label names for {} rows",
        header.outputs.len(),
        total.weight.rows()
    )))
}

/// Whether there is a FIM and a count for each class, of the shape of the total.
pub(crate) fn check_classes(
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
