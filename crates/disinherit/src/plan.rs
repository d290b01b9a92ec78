//! The tasks of a request, and what is refused before any is executed.

use std::collections::{BTreeMap, BTreeSet};

use umig::{Forget, Model, ModelId, Plan, Reads, Request, Scope, Stage, Task, Umig};

use crate::cards::source::Found;
use crate::error::{EngineError, nearest};
use crate::layers::Selected;
use crate::method::Method;

/// What is known of one touched model's Fisher information.
pub(crate) struct Known {
    pub(crate) selected: Selected,
    pub(crate) found: Found,
}

/// The stages of a request. `known` holds the models of a method that reads Fisher information.
pub(crate) fn plan(
    request: &Request,
    scope: &Scope,
    graph: &Umig,
    method: &dyn Method,
    known: &BTreeMap<ModelId, Known>,
) -> Plan {
    let mut stages = Vec::new();
    let mut add = |purpose: &str, tasks: Vec<Task>| {
        if !tasks.is_empty() {
            let purpose = purpose.to_owned();
            stages.push(Stage { purpose, tasks });
        }
    };
    let missing = known.iter().filter(|(_, k)| matches!(k.found, Found::Data));
    add(
        "FIM cards of the models that have none, from their training data",
        missing
            .map(|(id, _)| Task::Card { model: id.clone() })
            .collect(),
    );
    if method.fisher().is_some() {
        add(
            "Fisher information of the forget data on the initial models",
            forget_fishers(request, scope, known),
        );
    }
    if method.copies_differences() {
        let initial = scope.initial.iter();
        add(
            "the change of the initial models that their descendants copy",
            initial
                .map(|id| Task::Difference { model: id.clone() })
                .collect(),
        );
    }
    for (number, level) in levels(graph, scope, method).into_iter().enumerate() {
        let edits = level.into_iter().map(|id| Task::Edit {
            initial: scope.reached_by.get(&id).cloned().unwrap_or_default(),
            fallback_card: known.get(&id).and_then(|known| match &known.found {
                Found::Fallback(_, fallback) => Some(fallback.of.clone()),
                _ => None,
            }),
            features: method.edits_features(),
            model: id,
        });
        add(method.purpose(number), edits.collect());
    }
    Plan {
        request: request.clone(),
        scope: scope.clone(),
        stages,
    }
}

fn forget_fishers(request: &Request, scope: &Scope, known: &BTreeMap<ModelId, Known>) -> Vec<Task> {
    let classes = matches!(request.forget, Forget::Classes(_));
    let initial = scope.initial.iter();
    initial
        .map(|id| {
            let head_only = known.get(id).is_some_and(|k| k.selected.inner.is_empty());
            let reads = if classes && head_only {
                Reads::Card
            } else {
                Reads::ForgetData
            };
            Task::ForgetFisher {
                model: id.clone(),
                reads,
            }
        })
        .collect()
}

/// The touched models in groups: all that a model waits for are in earlier groups.
fn levels(graph: &Umig, scope: &Scope, method: &dyn Method) -> Vec<Vec<ModelId>> {
    let touched: BTreeSet<&ModelId> = scope.touched().collect();
    let mut level_of: BTreeMap<ModelId, usize> = BTreeMap::new();
    let mut levels: Vec<Vec<ModelId>> = Vec::new();
    for id in graph
        .ordered()
        .into_iter()
        .filter(|id| touched.contains(id))
    {
        let waits = method.waits_for(id, graph, scope);
        let before = waits.iter().filter_map(|id| level_of.get(id));
        let level = before.map(|level| level + 1).max().unwrap_or(0);
        if levels.len() <= level {
            levels.resize(level + 1, Vec::new());
        }
        levels[level].push(id.clone());
        level_of.insert(id.clone(), level);
    }
    levels
}

/// Refuses labels that no model has.
pub(crate) fn check_labels(graph: &Umig, forget: &Forget) -> Result<(), EngineError> {
    let Forget::Classes(labels) = forget else {
        return Ok(());
    };
    let known: BTreeSet<&str> = graph
        .models()
        .flat_map(|model| model.labels.iter().map(String::as_str))
        .collect();
    for label in labels {
        if !known.is_empty() && !known.contains(label.as_str()) {
            let near = nearest(label, known.iter().copied());
            let near = near.map_or_else(String::new, |n| format!("; did you mean `{n}`?"));
            let list: Vec<&str> = known.iter().take(20).copied().collect();
            return Err(EngineError::UnknownLabel {
                label: label.clone(),
                context: format!("{near}; the models' labels are {}", list.join(", ")),
            });
        }
    }
    Ok(())
}

/// Refuses to empty a model: one that was trained on nothing but the forget data.
pub(crate) fn check_remainder(model: &Model, forget: &Forget) -> Result<(), EngineError> {
    let emptied = !model.training.is_empty()
        && model
            .training
            .iter()
            .all(|training| forget.remainder(training).is_none());
    let labels_gone = match forget {
        Forget::Classes(gone) => {
            !model.labels.is_empty() && model.labels.iter().all(|label| gone.contains(label))
        }
        _ => false,
    };
    if emptied || labels_gone {
        return Err(EngineError::NothingRetained(format!(
            "`{}` was itself trained on nothing but {forget}; take it out of use instead of \
             unlearning",
            model.id
        )));
    }
    Ok(())
}
