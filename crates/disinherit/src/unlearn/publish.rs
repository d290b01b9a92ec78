//! Publication: all new versions at once, and what the user should know about them.

use std::collections::BTreeMap;

use fiun::Dampening;
use serde_json::json;
use store::{CardRow, Digest, ModelRow, NewModel, Operation, Publication, Registry};
use umig::{Forget, Model, ModelId, Relation};

use super::{ModelOutcome, Prepared, Unlearned};
use crate::EngineError;
use crate::model::time_after;

/// What the user should know about the edits.
pub(super) fn warnings(prepared: &Prepared<'_>, mended: &[ModelOutcome]) -> Vec<String> {
    let mut list = Vec::new();
    for outcome in mended {
        let id = &outcome.before;
        // A searched alpha has been tried on data; only one that was given needs the warning.
        let given = outcome.choice.is_none().then_some(outcome);
        let dampening = given.and_then(|o| Dampening::new(o.alpha, o.lambda).ok());
        list.extend(
            dampening
                .and_then(Dampening::warning)
                .map(|w| format!("{id}: {w}")),
        );
        if outcome
            .choice
            .as_ref()
            .is_some_and(|choice| !choice.reached)
        {
            list.push(format!(
                "{id}: no alpha meets the target; the nearest one, {:.3}, was taken",
                outcome.alpha
            ));
        }
        if outcome.selection().selected == 0 {
            list.push(format!(
                "{id}: nothing was selected, the model is unchanged; lower alpha"
            ));
        }
        if let Some(before) = &outcome.stand_in {
            list.push(format!(
                "{id}: has no FIM card of its own; that of {before}, less what was forgotten since, \
                 stood in for it"
            ));
        }
        if !outcome.unmatched.is_empty() {
            list.push(format!(
                "{id}: rows without a counterpart in the forget FIM stayed as they were: {}",
                outcome.unmatched.join(", ")
            ));
        }
        if let Forget::Classes(classes) = &prepared.plan.request.forget {
            let labels = prepared
                .graph
                .get(id)
                .map(|model| &model.labels[..])
                .unwrap_or_default();
            let missing: Vec<&str> = classes
                .iter()
                .filter(|c| !labels.contains(c))
                .map(String::as_str)
                .collect();
            if !labels.is_empty() && !missing.is_empty() {
                list.push(format!("{id}: has no output for {}", missing.join(", ")));
            }
        }
    }
    list
}

/// A name for the request that depends on what is asked and of whom, not on when.
pub(super) fn request_id(prepared: &Prepared<'_>) -> Result<String, EngineError> {
    let digests: Vec<Digest> = prepared
        .ready
        .values()
        .map(|ready| ready.model.digest)
        .collect();
    let text = serde_json::to_string(&(&prepared.plan.request, digests))
        .map_err(|error| EngineError::Refused(error.to_string()))?;
    Ok(format!(
        "request-{}",
        &Digest::of(text.as_bytes()).to_string()[..12]
    ))
}

/// All new versions with their edges, in one transaction. A new version inherits from the new
/// versions of its parents where those were touched too, and from the version that it replaces.
pub(super) fn publish(
    registry: &Registry,
    prepared: &Prepared<'_>,
    ids: &BTreeMap<&ModelId, ModelId>,
    done: &Unlearned,
) -> Result<i64, EngineError> {
    let forget = &prepared.plan.request.forget;
    let graph = &prepared.graph;
    let by_id: BTreeMap<&ModelId, &ModelOutcome> = done
        .models
        .iter()
        .map(|outcome| (&outcome.before, outcome))
        .collect();
    let old: Vec<ModelId> = ids.keys().map(|id| (*id).clone()).collect();
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
            .map(|(parent, relation)| (ids.get(parent).unwrap_or(parent).clone(), relation.clone()))
            .collect();
        let from = Relation::UnlearnedFrom {
            request: done.request.clone(),
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
            row: ModelRow { vertex, manifest },
            parents,
        });
    }
    let cards: Vec<CardRow> = prepared
        .ready
        .values()
        .filter_map(|ready| ready.card.row.clone())
        .collect();
    Ok(registry.publish(&Publication {
        models,
        superseded: old,
        cards,
        operation: Operation {
            time: crate::now(),
            command: "unlearn".into(),
            detail: json!({
                "id": done.request,
                "request": prepared.plan.request,
                "models": done.models,
                "warnings": done.warnings,
            }),
        },
    })?)
}
