//! Models on the command line.

use disinherit::LoadedModel;
use disinherit::registry::Registry;
use disinherit::umig::{ModelId, Umig};

use crate::error::CliError;

/// A model by name (its current version) or by name@version.
pub(crate) fn resolve(graph: &Umig, text: &str) -> Result<ModelId, CliError> {
    Ok(disinherit::model::find(graph, text)?.id.clone())
}

/// Several models, in the order in which they are named.
pub(crate) fn resolve_all(graph: &Umig, texts: &[String]) -> Result<Vec<ModelId>, CliError> {
    texts.iter().map(|text| resolve(graph, text)).collect()
}

/// Opens models, in their order.
pub(crate) fn opened(
    registry: &Registry,
    graph: &Umig,
    ids: &[ModelId],
) -> Result<Vec<LoadedModel>, CliError> {
    let open = |id| LoadedModel::open(registry, graph, id);
    Ok(ids.iter().map(open).collect::<Result<_, _>>()?)
}
