//! FIM cards that travel: read from a registry, merged, and brought into another one.

use disinherit::EngineError;
use disinherit::cards::import_card;
use disinherit::fiun::Estimator;
use disinherit::registry::{FisherCard, Registry};
use pyo3::prelude::*;

use crate::engine::loaded;
use crate::errors::raised;

/// The card of a version, as a file has it.
pub(crate) fn card(registry: &Registry, model: &str) -> Result<Option<Vec<u8>>, EngineError> {
    let digest = loaded(registry, model)?.digest;
    let Some(reader) = registry.card(digest, Estimator::Empirical)? else {
        return Ok(None);
    };
    Ok(Some(reader.card(registry)?.to_bytes()?))
}

/// Adds a card that was computed elsewhere; returns the version that it is of.
pub(crate) fn bring(
    registry: &Registry,
    card: &[u8],
    model: Option<&str>,
    source: Option<&str>,
) -> Result<String, EngineError> {
    let card = FisherCard::from_bytes(card)?;
    let named = model.map(|name| loaded(registry, name)).transpose()?;
    let named = named.as_ref().map(|model| model.id());
    Ok(import_card(registry, &registry.graph()?, &card, named, source)?.to_string())
}

/// The card of a model from cards on disjoint parts of its data.
#[pyfunction]
pub(crate) fn merge_cards(py: Python<'_>, cards: Vec<Vec<u8>>) -> PyResult<Vec<u8>> {
    let merge = || -> Result<Vec<u8>, EngineError> {
        let read = cards.iter().map(|card| FisherCard::from_bytes(card));
        let read = read.collect::<Result<Vec<_>, _>>()?;
        Ok(FisherCard::merged(&read)?.to_bytes()?)
    };
    py.detach(merge).map_err(raised)
}
