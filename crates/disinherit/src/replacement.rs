//! What takes the place of the models that a request touches: a new version, or none.

use std::collections::{BTreeMap, BTreeSet};

use disinherit_registry::RetiredModel;
use umig::{ModelId, Scope, Umig};

use crate::engine::Engine;
use crate::error::EngineError;

/// The new version of every model that is edited.
pub(crate) fn successors<'m>(
    graph: &Umig,
    edited: impl Iterator<Item = &'m ModelId>,
) -> Result<BTreeMap<ModelId, ModelId>, EngineError> {
    let mut newest: BTreeMap<&str, u32> = BTreeMap::new();
    for model in graph.models() {
        let known = newest.entry(model.id.name()).or_default();
        *known = (*known).max(model.id.version());
    }
    let next = |id: &ModelId| newest.get(id.name()).copied().unwrap_or_default() + 1;
    edited
        .map(|id| Ok((id.clone(), ModelId::new(id.name(), next(id))?)))
        .collect()
}

/// The models that are taken out of use, as the log will have them.
pub(crate) fn retired(
    engine: &Engine<'_>,
    roles: &Scope,
    emptied: &BTreeSet<ModelId>,
) -> Result<BTreeMap<ModelId, RetiredModel>, EngineError> {
    let mut retired = BTreeMap::new();
    for id in emptied {
        let Some(digest) = engine.registry().digest(id)? else {
            continue;
        };
        let gone = RetiredModel {
            model: id.clone(),
            digest,
            role: roles.role(id),
        };
        retired.insert(id.clone(), gone);
    }
    Ok(retired)
}
