//! Publication: all new versions at once.

use std::collections::BTreeMap;

use disinherit_registry::{
    CardRow, Digest, MethodName, ModelOutcome, ModelRow, NewModel, OperationId, OperationRecord,
    Publication, Registry, RequestId, UnlearnRecord,
};
use umig::{Model, ModelId, Relation, Request, Umig};

use crate::error::EngineError;
use crate::model::{now, time_after};
use crate::outcome::Unlearned;

/// A name for the request that depends on what is asked, of whom and by which method, not on when.
pub(crate) fn request_id(
    request: &Request,
    method: &MethodName,
    digests: &[Digest],
) -> Result<RequestId, EngineError> {
    let text = serde_json::to_string(&(request, digests));
    let mut text = text.map_err(EngineError::json("request"))?;
    if *method != MethodName::default() {
        text.push_str(method.as_str());
    }
    let digest = Digest::from_content(text.as_bytes()).to_string();
    Ok(RequestId::new(format!("request-{}", &digest[..12])))
}

/// What is published.
pub(crate) struct Publishing<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) graph: &'a Umig,
    pub(crate) request: &'a Request,
    /// The new version of every touched model.
    pub(crate) becomes: &'a BTreeMap<ModelId, ModelId>,
    /// Cards that were computed on the way.
    pub(crate) cards: Vec<CardRow>,
    /// The names of the drafts that this makes superfluous.
    pub(crate) drafts: Vec<String>,
}

/// All new versions with their edges, in one transaction. A new version inherits from the new
/// versions of its parents where those were touched too, and from the version that it replaces.
pub(crate) fn publish(
    publishing: &Publishing<'_>,
    done: &Unlearned,
) -> Result<OperationId, EngineError> {
    let Publishing {
        registry,
        graph,
        request,
        becomes,
        cards,
        drafts,
    } = publishing;
    let forget = &request.forget;
    let by_id: BTreeMap<&ModelId, &ModelOutcome> = done
        .models
        .iter()
        .map(|outcome| (&outcome.before, outcome))
        .collect();
    let old: Vec<ModelId> = becomes.keys().cloned().collect();
    let time = time_after(graph, &old);
    let mut models = Vec::new();
    for id in graph.ordered() {
        let (Some(outcome), Some(vertex)) = (by_id.get(id), graph.get(id)) else {
            continue;
        };
        let Some(manifest) = outcome.digest_after else {
            continue;
        };
        let mut parents: Vec<(ModelId, Relation)> = graph
            .parents(id)
            .into_iter()
            .filter(|(_, relation)| !matches!(relation, Relation::UnlearnedFrom { .. }))
            .map(|(parent, relation)| {
                (
                    becomes.get(parent).unwrap_or(parent).clone(),
                    relation.clone(),
                )
            })
            .collect();
        let from = Relation::UnlearnedFrom {
            request: done.request.to_string(),
        };
        parents.push((id.clone(), from));
        let vertex = Model {
            id: outcome.after.clone(),
            time,
            training: vertex
                .training
                .iter()
                .filter_map(|t| forget.remainder(t))
                .collect(),
            ..vertex.clone()
        };
        models.push(NewModel {
            row: ModelRow::new(vertex, manifest),
            parents,
        });
    }
    Ok(registry.publish(&Publication {
        models,
        superseded: old,
        cards: cards.clone(),
        finished: drafts.clone(),
        ..Publication::new(
            now(),
            OperationRecord::Unlearn(Box::new(UnlearnRecord {
                id: done.request.clone(),
                request: (*request).clone(),
                method: done.method.clone(),
                models: done.models.clone(),
                warnings: done.warnings.clone(),
            })),
        )
    })?)
}
