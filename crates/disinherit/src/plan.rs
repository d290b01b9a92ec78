//! The tasks of a request, and what is refused before any is executed.

use std::collections::{BTreeMap, BTreeSet};

use umig::{Forget, ModelId, Plan, Reads, Request, Scope, Stage, Task, Umig};

use crate::cards::source::Found;
use crate::error::{EngineError, nearest};
use crate::layers::Selected;
use crate::method::Method;
use crate::models::Models;
use crate::provenance::learned;

/// What is known of one touched model's Fisher information.
pub(crate) struct Known {
    pub(crate) selected: Selected,
    pub(crate) found: Found,
    /// Whether there is a card of the forget data alone.
    pub(crate) has_part: bool,
}

impl Known {
    /// Whether its card says what the network makes of each class.
    pub(crate) fn has_activations(&self) -> bool {
        match &self.found {
            Found::Card(card) | Found::Fallback(card, _) => card.has_activations,
            Found::Data => false,
        }
    }
}

/// What the stages of a request follow from.
pub(crate) struct Planning<'a> {
    pub(crate) request: &'a Request,
    pub(crate) scope: &'a Scope,
    pub(crate) graph: &'a Umig,
    pub(crate) method: &'a dyn Method,
    /// The models that nothing would be left of.
    pub(crate) retired: &'a BTreeSet<ModelId>,
    /// The models that it touches, opened.
    pub(crate) models: &'a Models,
    /// The models of a method that reads Fisher information.
    pub(crate) known: &'a BTreeMap<ModelId, Known>,
}

/// The models of a scope that nothing would be left of.
pub(crate) fn emptied(
    graph: &Umig,
    request: &Request,
    scope: &Scope,
) -> Result<BTreeSet<ModelId>, EngineError> {
    let mut emptied = BTreeSet::new();
    for id in scope.touched() {
        if let Some(model) = graph.get(id)
            && request.empties(&learned(graph, model))?
        {
            emptied.insert(id.clone());
        }
    }
    Ok(emptied)
}

/// The initial models whose forget data is asked after: those that reach a model which is edited.
pub(crate) fn asked_after(scope: &Scope, retired: &BTreeSet<ModelId>) -> BTreeSet<ModelId> {
    let edited = scope.reached_by.iter();
    let edited = edited.filter(|(id, _)| !retired.contains(*id));
    edited.flat_map(|(_, initial)| initial).cloned().collect()
}

/// The stages of a request.
pub(crate) fn plan(planning: &Planning<'_>) -> Plan {
    let Planning {
        request,
        scope,
        method,
        retired,
        known,
        ..
    } = *planning;
    let initial = asked_after(scope, retired);
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
            forget_fishers(planning, &initial),
        );
    }
    if method.copies_differences() {
        add(
            "the change of the initial models that their descendants copy",
            initial
                .iter()
                .map(|id| Task::Difference { model: id.clone() })
                .collect(),
        );
    }
    for (number, level) in levels(planning).into_iter().enumerate() {
        let edits = level.into_iter().map(|id| edit(planning, id));
        add(method.purpose(number), edits.collect());
    }
    let retired = retired.iter();
    add(
        "take out of use what was trained on nothing but the forget data",
        retired
            .map(|id| Task::Retire { model: id.clone() })
            .collect(),
    );
    Plan {
        request: request.clone(),
        scope: scope.clone(),
        stages,
    }
}

/// The edit of a model.
fn edit(planning: &Planning<'_>, model: ModelId) -> Task {
    let known = planning.known.get(&model);
    let touched = planning.models.get(&model);
    let initial = planning.scope.reached_by.get(&model);
    Task::Edit {
        initial: initial.cloned().unwrap_or_default(),
        fallback_card: known.and_then(|known| match &known.found {
            Found::Fallback(_, fallback) => Some(fallback.of.clone()),
            _ => None,
        }),
        activations: known.is_some_and(Known::has_activations),
        features: touched.is_some_and(|touched| touched.edits_features),
        last_stage_steps: touched.and_then(|touched| touched.last_stage_steps),
        model,
    }
}

fn forget_fishers(planning: &Planning<'_>, initial: &BTreeSet<ModelId>) -> Vec<Task> {
    let forget = &planning.request.forget;
    let classes = matches!(forget, Forget::Classes(_));
    initial
        .iter()
        .map(|id| {
            let known = planning.known.get(id);
            let head_only = known.is_some_and(|k| k.selected.inner.is_empty());
            let touched = planning.models.get(id);
            let whole = || touched.is_some_and(|model| model.is_all_forgotten);
            let reads =
                if head_only && classes || whole() || known.is_some_and(|known| known.has_part) {
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

/// The models that are edited, in groups: all that a model waits for are in earlier groups.
fn levels(planning: &Planning<'_>) -> Vec<Vec<ModelId>> {
    let Planning { graph, scope, .. } = *planning;
    let touched: BTreeSet<&ModelId> = scope
        .touched()
        .filter(|id| !planning.retired.contains(*id))
        .collect();
    let mut level_of: BTreeMap<ModelId, usize> = BTreeMap::new();
    let mut levels: Vec<Vec<ModelId>> = Vec::new();
    for id in graph
        .ordered()
        .into_iter()
        .filter(|id| touched.contains(id))
    {
        let waits = planning.method.waits_for(id, graph, scope);
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
