//! Publication: all new versions at once, and what the user should know about them.

use std::collections::{BTreeMap, BTreeSet};

use disinherit_registry::{CardRow, Digest, ModelRow, NewModel, Operation, Publication, Registry};
use fiun::{Dampening, HeadPart};
use serde_json::json;
use umig::{Forget, Model, ModelId, Relation, Request, Umig};

use super::{ModelOutcome, Prepared, Unlearned};
use crate::model::time_after;
use crate::{EngineError, Method, absence_warning};

/// What the user should know about the edits.
pub(super) fn warnings(prepared: &Prepared<'_>, mended: &[ModelOutcome]) -> Vec<String> {
    let mut list = Vec::new();
    for outcome in mended {
        let id = &outcome.before;
        // A searched alpha has been tried on data; only one that was given needs the warning.
        let given = outcome.choice.is_none().then_some(outcome);
        let dampening = given.and_then(|o| Dampening::new(o.alpha?, o.lambda?).ok());
        list.extend(
            dampening
                .and_then(Dampening::warning)
                .map(|w| format!("{id}: {w}")),
        );
        list.extend(choice_warning(outcome));
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
        list.extend(absence(prepared, id));
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
            let unknown = unreached(prepared, outcome, classes);
            if !unknown.is_empty() {
                list.push(format!(
                    "{id}: was itself trained on {}, which no initial model that reaches it was: that \
                     is not forgotten; leave out `--from`, or add {id} to it",
                    unknown.join(", ")
                ));
            }
            if !labels.is_empty() && !missing.is_empty() {
                list.push(format!("{id}: has no output for {}", missing.join(", ")));
            }
        }
    }
    list
}

/// What the user should know about data that a card was made without, just now.
fn absence(prepared: &Prepared<'_>, id: &ModelId) -> Option<String> {
    let ready = prepared.ready.get(id).filter(|ready| ready.card.new)?;
    absence_warning(&ready.model.vertex, &prepared.data?.train)
}

/// What the user should know about how alpha was chosen.
fn choice_warning(outcome: &ModelOutcome) -> Option<String> {
    let (id, choice) = (&outcome.before, outcome.choice.as_ref()?);
    let Some(lowering) = &choice.suppression else {
        let alpha = choice.alpha;
        return (!choice.reached).then(|| {
            format!("{id}: no alpha meets the target; the nearest one, {alpha:.3}, was taken")
        });
    };
    let lowered = match lowering.part {
        HeadPart::Bias => format!(
            "the biases of the forgotten labels were lowered by {:.3} besides",
            lowering.by
        ),
        HeadPart::Weight => format!(
            "the weights of the forgotten labels were moved {:.1} % of the way to the mean of the \
             others besides",
            100.0 * lowering.by
        ),
    };
    let left = format!(
        "{id}: dampening alone leaves {:.1} % of the forget samples recognised (alpha {:.3}); {lowered}",
        100.0 * lowering.forget_before,
        choice.alpha,
    );
    let missed = if choice.reached {
        ""
    } else {
        ", and the target is still missed"
    };
    Some(left + missed)
}

/// Classes that a model learned by itself and that no initial model that reaches it learned: their
/// Fisher information is nowhere in the request.
fn unreached<'a>(
    prepared: &Prepared<'_>,
    outcome: &ModelOutcome,
    classes: &'a BTreeSet<String>,
) -> Vec<&'a str> {
    let learned = |id: &ModelId, class: &String| {
        let model = prepared.graph.get(id);
        model.is_some_and(|m| m.training.iter().any(|t| t.labels.contains(class)))
    };
    classes
        .iter()
        .filter(|class| {
            learned(&outcome.before, class) && !outcome.initial.iter().any(|id| learned(id, class))
        })
        .map(String::as_str)
        .collect()
}

/// A name for the request that depends on what is asked, of whom and by which method, not on when.
pub(crate) fn request_id(
    request: &Request,
    method: Method,
    digests: &[Digest],
) -> Result<String, EngineError> {
    let failed = |error: serde_json::Error| EngineError::Refused(error.to_string());
    let mut text = serde_json::to_string(&(request, digests)).map_err(failed)?;
    if method != Method::Fiun {
        text.push_str(method.name());
    }
    Ok(format!(
        "request-{}",
        &Digest::of(text.as_bytes()).to_string()[..12]
    ))
}

/// What is published.
pub(crate) struct Publishing<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) graph: &'a Umig,
    pub(crate) request: &'a Request,
    /// The new version of every touched model.
    pub(crate) ids: &'a BTreeMap<&'a ModelId, ModelId>,
    /// Cards that were computed on the way.
    pub(crate) cards: Vec<CardRow>,
    /// The names of the drafts that this makes superfluous.
    pub(crate) drafts: Vec<String>,
}

/// All new versions with their edges, in one transaction. A new version inherits from the new
/// versions of its parents where those were touched too, and from the version that it replaces.
pub(crate) fn publish(publishing: &Publishing<'_>, done: &Unlearned) -> Result<i64, EngineError> {
    let Publishing {
        registry,
        graph,
        request,
        ids,
        cards,
        drafts,
    } = publishing;
    let forget = &request.forget;
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
            row: ModelRow::new(vertex, manifest),
            parents,
        });
    }
    Ok(registry.publish(&Publication {
        models,
        superseded: old,
        cards: cards.clone(),
        finished: drafts.clone(),
        ..Publication::of(Operation {
            time: crate::now(),
            command: "unlearn".into(),
            detail: json!({
                "id": done.request,
                "request": request,
                "method": done.method,
                "models": done.models,
                "warnings": done.warnings,
            }),
        })
    })?)
}
