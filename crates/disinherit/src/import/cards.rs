//! Parents that models name themselves: in a model card, in the header of a safetensors file, or in the
//! configuration of an adapter or a merge.

use std::path::Path;

use disinherit_formats::{ADAPTER_CONFIG, FormatError, HubCard, MERGE_CONFIG, ModelFile};
use umig::Relation;

use super::candidate::Candidate;
use super::names::Names;
use super::notes::{ImportNote, ParentEvidence};

/// The file with the model card.
const CARD: &str = "README.md";

/// What a model says of the models that it was made from, and where. A file's header counts where there is
/// no model card, or where that names none.
///
/// # Errors
/// [`FormatError`] when the card, or the configuration of an adapter or a merge, cannot be read.
pub(super) fn card_of(
    path: &Path,
    bundle: &ModelFile,
) -> Result<(HubCard, ParentEvidence), FormatError> {
    let (mut card, mut said_in) = (HubCard::default(), ParentEvidence::ModelCard);
    if let Some(text) = bundle.documents.get(CARD) {
        card = HubCard::parse(&path.join(CARD), &String::from_utf8_lossy(text))?;
    }
    if card.base_models.is_empty() {
        let header = HubCard::from_metadata(&bundle.metadata());
        card.relation = card.relation.or(header.relation);
        card.base_models = header.base_models;
        said_in = ParentEvidence::FileMetadata;
    }
    let adapter = bundle.documents.get(ADAPTER_CONFIG);
    if let Some(text) = adapter {
        let config = HubCard::from_adapter(&path.join(ADAPTER_CONFIG), text)?;
        card.relation = card.relation.or(config.relation);
        if card.base_models.is_empty() {
            card.base_models = config.base_models;
        }
        said_in = ParentEvidence::Adapter;
    }
    if let Some(text) = bundle.documents.get(MERGE_CONFIG) {
        let text = String::from_utf8_lossy(text);
        let config = HubCard::from_merge(&path.join(MERGE_CONFIG), &text)?;
        card.relation = card.relation.or(config.relation);
        card.join(config.base_models);
        if adapter.is_none() {
            said_in = ParentEvidence::MergeConfig;
        }
    }
    Ok((card, said_in))
}

/// Enters the parents that cards name, among the models of the tree and those of the registry; notes
/// the base models that are in neither.
pub(super) fn enter_parents(
    found: &mut [Candidate],
    names: &Names<'_>,
    notes: &mut Vec<ImportNote>,
) {
    for model in found {
        for base in &model.card.base_models {
            match names.resolve(base, &model.new.name) {
                Some(name) => {
                    let relation = relation_of(model.card.relation.as_deref());
                    // Card and configuration may write one model's name in two ways.
                    let parents = &mut model.new.parents;
                    if !parents.iter().any(|(known, _)| known == name) {
                        parents.push((name.to_owned(), relation));
                    }
                    model.evidence = Some(model.said_in.clone());
                }
                None => notes.push(ImportNote::UnknownBase {
                    model: model.new.name.clone(),
                    base: base.clone(),
                    evidence: model.said_in.clone(),
                }),
            }
        }
    }
}

fn relation_of(word: Option<&str>) -> Relation {
    match word {
        Some("adapter") => Relation::Adapter,
        Some("merge") => Relation::Merged { weight: None },
        Some("quantized") => Relation::Quantised,
        _ => Relation::FineTune,
    }
}
