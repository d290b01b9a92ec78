//! Models on the command line.

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
