//! FIM cards: computing, keeping, importing.

pub(crate) mod activations;
pub(crate) mod check;
pub(crate) mod kept;
pub(crate) mod maker;
mod options;
pub(crate) mod source;

use std::collections::BTreeMap;

use disinherit_registry::{
    CardRow, CardValues, Digest, FisherCard, FisherImportRecord, FisherRecord, OperationRecord,
    Publication, Registry,
};
use umig::{Forget, ModelId, Training, Umig};

use crate::engine::Engine;
use crate::error::{EngineError, Hint};
use crate::model::{LoadedModel, now};
use crate::provenance::own_data;

use self::activations::Statistician;
use self::check::{check_card, check_logits, check_values, covers};
use self::maker::CardMaker;
use self::source::is_all_of;

pub use self::options::FisherOptions;

/// Computes the cards of some models on their own training data and keeps each as soon as it is
/// done. A model that has a card of this estimator with these layers (and activation statistics, where
/// they are wanted and can be had) is passed over, unless it is to be computed `again`. Returns the
/// rows of the new cards.
///
/// # Errors
/// [`EngineError`]; cards that were finished before stay.
pub fn compute_cards(
    engine: &Engine<'_>,
    models: &[LoadedModel],
    options: &FisherOptions,
    again: bool,
) -> Result<Vec<CardRow>, EngineError> {
    let registry = engine.registry();
    let train = &engine
        .data()
        .ok_or_else(|| EngineError::NeedsData {
            why: "FIM cards are computed from training data, and none was given".into(),
            hint: Some(Hint::GiveData),
        })?
        .train;
    let features = engine.features(None);
    let maker = CardMaker {
        registry,
        options,
        features: &features,
        progress: engine.progress(),
    };
    let graph = registry.graph()?;
    let statistician = Statistician {
        engine,
        graph: &graph,
        train,
    };
    let known = known_cards(registry, models, options)?;
    let mut rows = Vec::new();
    for model in models {
        let kept = match known.get(&model.digest) {
            Some(row) => Some(registry.card_of(row)?),
            // Another process may have made it meanwhile.
            None => registry.card(model.digest, options.estimator)?,
        };
        let selected = options.layers.select(model, features.runner(), &[])?;
        let enough = kept.filter(|card| !again && covers(card.header(), &selected));
        let card = match enough {
            Some(card) if !options.activations || card.has_activations() => continue,
            // Cards from before there were activation statistics, or of a request, get them now.
            Some(card) => match statistician.activations(model)? {
                None => continue,
                found => FisherCard {
                    activations: found,
                    ..card.card(registry)?
                },
            },
            None => new_card(&maker, &statistician, model)?,
        };
        let row = registry.put_card(&card)?;
        keep(registry, row.clone(), record(model, &row, options))?;
        rows.push(row);
    }
    Ok(rows)
}

/// What the log says of a card.
fn record(model: &LoadedModel, row: &CardRow, options: &FisherOptions) -> OperationRecord {
    OperationRecord::Fisher(FisherRecord {
        model: model.id().clone(),
        estimator: row.estimator.clone(),
        layers: options.layers.to_string(),
        samples: options.samples,
        precision: options.precision,
    })
}

/// The cards that models have at the beginning: of many models the catalog is asked once.
fn known_cards(
    registry: &Registry,
    models: &[LoadedModel],
    options: &FisherOptions,
) -> Result<BTreeMap<Digest, CardRow>, EngineError> {
    if models.len() <= 1 {
        return Ok(BTreeMap::new());
    }
    let estimator = options.estimator.to_string();
    let rows = registry.all_cards()?.into_iter();
    let rows = rows.filter(|row| row.estimator == estimator);
    Ok(rows.map(|row| (row.model, row)).collect())
}

fn new_card(
    maker: &CardMaker<'_>,
    statistician: &Statistician<'_>,
    model: &LoadedModel,
) -> Result<FisherCard, EngineError> {
    let train = statistician.train;
    check_logits(maker.registry, model, train)?;
    let own = own_data(model.learned(), train)?;
    if own.is_empty() {
        return Err(EngineError::NeedsData {
            why: format!(
                "`{}` was, by its provenance, trained on no sample of `{}`",
                model.id(),
                train.name()
            ),
            hint: Some(Hint::GiveData),
        });
    }
    let mut card = maker.make(model, &own)?;
    if maker.options.activations {
        card.activations = statistician.activations(model)?;
    }
    Ok(card)
}

/// Whether a source supplied some of a model's samples, and others the rest.
fn is_part(model: &LoadedModel, source: &str) -> Result<bool, EngineError> {
    let from_it = |training: &Training| training.source.as_deref() == Some(source);
    if !model.learned().training.iter().any(from_it) {
        return Err(EngineError::ForeignCard(format!(
            "`{}` was, by its provenance, trained on no samples of `{source}`",
            model.id()
        )));
    }
    Ok(!is_all_of(&Forget::Source(source.to_owned()), model))
}

fn keep(registry: &Registry, row: CardRow, record: OperationRecord) -> Result<(), EngineError> {
    registry.publish(&Publication {
        cards: vec![row],
        ..Publication::new(now(), record)
    })?;
    Ok(())
}

/// Adds a card that was computed elsewhere, from memory or from a file; large inner layers are read some rows at a
/// time. It must speak of a model of this registry: of the one
/// that is named, where one is. With a `source` it is of those samples alone that the source supplied: of a model that
/// others trained too it is kept beside the card of all data, until the source is forgotten.
///
/// # Errors
/// [`EngineError::ForeignCard`] with the reason when it fits no model, or another one, or one that the source did not
/// train.
pub fn import_card(
    registry: &Registry,
    graph: &Umig,
    card: &dyn CardValues,
    model: Option<&ModelId>,
    source: Option<&str>,
) -> Result<ModelId, EngineError> {
    let digests = registry.digests()?;
    let header = &card.head().header;
    let id = match model {
        Some(id) => {
            let own = digests.get(id);
            if own != Some(&header.model) {
                return Err(EngineError::ForeignCard(format!(
                    "the card speaks of the model {}, `{id}` is {}",
                    header.model,
                    own.map(ToString::to_string).unwrap_or_default()
                )));
            }
            id.clone()
        }
        None => digests
            .iter()
            .find(|(_, digest)| **digest == header.model)
            .map(|(id, _)| id.clone())
            .ok_or_else(|| {
                EngineError::ForeignCard(format!(
                    "the card speaks of the model {}, which is not in this registry",
                    header.model
                ))
            })?,
    };
    let loaded = LoadedModel::open(registry, graph, &id)?;
    check_card(&loaded, header)?;
    check_values(&loaded, card)?;
    let part = source.map(|source| is_part(&loaded, source)).transpose()?;
    let mut row = registry.put_card(card)?;
    if let (Some(source), Some(true)) = (source, part) {
        row = row.of_source(source);
    }
    let record = OperationRecord::FisherImport(FisherImportRecord {
        model: id.clone(),
        estimator: row.estimator.clone(),
        by: header.tool.clone(),
    });
    keep(registry, row, record)?;
    Ok(id)
}
