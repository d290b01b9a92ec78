//! Parents that models name themselves: in a model card, or in the configuration of an adapter or a merge.

use std::collections::BTreeSet;
use std::path::Path;

use disinherit_formats::{ADAPTER_CONFIG, FormatError, HubCard, MERGE_CONFIG, ModelFile};
use umig::{Relation, Umig};

use super::candidate::Candidate;
use super::notes::{ImportNote, ParentEvidence};

/// The file with the model card.
const CARD: &str = "README.md";

/// What a model says of the models that it was made from.
///
/// # Errors
/// [`FormatError`] when the card, or the configuration of an adapter or a merge, cannot be read.
pub(super) fn card_of(path: &Path, bundle: &ModelFile) -> Result<HubCard, FormatError> {
    let mut card = HubCard::default();
    if let Some(text) = bundle.documents.get(CARD) {
        card = HubCard::parse(&path.join(CARD), &String::from_utf8_lossy(text))?;
    }
    if let Some(text) = bundle.documents.get(ADAPTER_CONFIG) {
        let config = HubCard::from_adapter(&path.join(ADAPTER_CONFIG), text)?;
        card.relation = card.relation.or(config.relation);
        if card.base_models.is_empty() {
            card.base_models = config.base_models;
        }
    }
    if let Some(text) = bundle.documents.get(MERGE_CONFIG) {
        let text = String::from_utf8_lossy(text);
        let config = HubCard::from_merge(&path.join(MERGE_CONFIG), &text)?;
        card.relation = card.relation.or(config.relation);
        card.join(config.base_models);
    }
    Ok(card)
}

/// The names that a base model may have here: the whole `owner/name` of the Hub or path of a folder,
/// and its last part alone.
pub(super) fn names_of(base: &str) -> [&str; 2] {
    let path = base.trim_end_matches('/');
    [base, path.rsplit('/').next().unwrap_or(path)]
}

/// Enters the parents that cards name, among the models of the tree and those of the registry; notes
/// the base models that are in neither.
pub(super) fn enter_parents(found: &mut [Candidate], graph: &Umig, notes: &mut Vec<ImportNote>) {
    let names: BTreeSet<String> = found.iter().map(|f| f.new.name.clone()).collect();
    for model in found {
        let evidence = if model.is_adapter() {
            ParentEvidence::Adapter
        } else if model.bundle.documents.contains_key(MERGE_CONFIG) {
            ParentEvidence::MergeConfig
        } else {
            ParentEvidence::ModelCard
        };
        for base in &model.card.base_models {
            let known = names_of(base).into_iter().find(|name| {
                *name != model.new.name && (names.contains(*name) || graph.resolve(name).is_some())
            });
            match known {
                Some(name) => {
                    let relation = relation_of(model.card.relation.as_deref());
                    // Card and configuration may write one model's name in two ways.
                    let parents = &mut model.new.parents;
                    if !parents.iter().any(|(known, _)| known == name) {
                        parents.push((name.to_owned(), relation));
                    }
                    model.evidence = Some(evidence.clone());
                }
                None => notes.push(ImportNote::UnknownBase {
                    model: model.new.name.clone(),
                    base: base.clone(),
                    evidence: evidence.clone(),
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
