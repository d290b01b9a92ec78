//! Whom a request touches: as a graph, in words, and as a table.

use std::collections::BTreeSet;

use disinherit::registry::Registry;
use disinherit::umig::{ModelId, Relation, Role, Umig};
use disinherit_desk::{ErasureScope, Unreached};
use disinherit_report::{Place, ScopeGraph, ScopeModel, View};
use maud::{Markup, html};
use serde::Deserialize;

use super::links::{encoded, model, path_of};
use crate::problem::Problem;

/// The most models of a scope that a table shows.
const LISTED: usize = 200;

/// The graph of a scope, with the untouched models beside it.
pub(super) fn graph_of(registry: &Registry, scope: &ErasureScope) -> Result<ScopeGraph, Problem> {
    let graph = registry.graph()?;
    let mut beside: BTreeSet<ModelId> = BTreeSet::new();
    let touched: BTreeSet<&ModelId> = scope.models.iter().map(|model| &model.model).collect();
    let mut models = Vec::new();
    for scoped in &scope.models {
        let parents = parents(&graph, &scoped.model);
        let untouched = parents.iter().map(|(parent, _)| parent);
        beside.extend(
            untouched
                .filter(|parent| !touched.contains(parent))
                .cloned(),
        );
        models.push(ScopeModel {
            id: scoped.model.clone(),
            role: Some(scoped.role),
            retired: scoped.retired,
            parents,
        });
    }
    models.extend(beside.into_iter().map(|id| ScopeModel {
        parents: Vec::new(),
        id,
        role: Some(Role::Untouched),
        retired: false,
    }));
    Ok(ScopeGraph::new(models))
}

/// The parents of a version, without those that it replaced.
pub(super) fn parents(graph: &Umig, id: &ModelId) -> Vec<(ModelId, String)> {
    let parents = graph.parents(id).into_iter();
    let own = parents.filter(|(_, relation)| !matches!(relation, Relation::UnlearnedFrom { .. }));
    own.map(|(parent, relation)| (parent.clone(), relation.name().to_owned()))
        .collect()
}

/// What of a graph is asked for.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(super) struct ViewQuery {
    /// A family, by its number.
    family: Option<usize>,
    /// Members of it that are passed over.
    from: usize,
    /// A model.
    focus: String,
}

impl ViewQuery {
    pub(super) fn view(&self) -> Result<View, Problem> {
        Ok(match (self.family, self.focus.as_str()) {
            (Some(number), _) => View::Family {
                number,
                from: self.from,
            },
            (None, "") => View::Whole,
            (None, id) => View::Focus(id.parse().map_err(|e| Problem::bad(format!("{e}")))?),
        })
    }
}

/// A graph on the page at this path, of which parts can be looked at.
pub(super) fn drawn(graph: &ScopeGraph, view: &View, path: &str) -> Result<Markup, Problem> {
    let link = |place: Place<'_>| {
        Some(match (place, view) {
            (Place::Family(number, from), _) => {
                format!("{path}?family={number}&from={from}#graph")
            }
            (Place::Model(id), View::Focus(_)) => path_of(id),
            (Place::Model(id), _) => {
                format!("{path}?focus={}#graph", encoded(&id.to_string()))
            }
        })
    };
    let missing = || Problem::missing("the graph of this request has no such part");
    let drawn = graph.draw(view, &link).ok_or_else(missing)?;
    Ok(html! {
        div id="graph" {
            @match view {
                View::Whole => {
                    @if graph.is_folded() {
                        p.soft { "Models of one origin are drawn as one. Choose one to open it, or a model to see how it inherited." }
                    } @else {
                        p.soft { "Choose a model to see how it inherited." }
                    }
                }
                View::Focus(id) => p { a href={ (path) "#graph" } { "The whole graph" } " or " a href=(path_of(id)) { "this model" } },
                View::Family { .. } => p { a href={ (path) "#graph" } { "The whole graph" } },
            }
            (drawn)
        }
    })
}

/// A graph on a page where nothing of it can be chosen.
pub(super) fn still(graph: &ScopeGraph) -> Markup {
    html! { @if let Some(drawn) = graph.draw(&View::Whole, &|_| None) { (drawn) } }
}

/// How many models a request touches, by what.
pub(super) fn counts(scope: &ErasureScope) -> Markup {
    let [initial, inherited, retired] = scope.counts();
    html! {
        p { "Touches " strong { (plural(scope.models.len(), "model")) } " by " (scope.method) ": "
            (initial) " trained on it, " (inherited) " inherited from those"
            @if retired > 0 { "; " (retired) " of them would be retired" } "." }
    }
}

/// The models with the reason for each.
pub(super) fn table(scope: &ErasureScope, digests: bool) -> Markup {
    html! {
        div.wide tabindex="0" role="group" aria-label="Models" { table {
            thead { tr { th { "Model" } th { "Part" } th { "Why" } @if digests { th { "Digest" } } } }
            tbody {
                @for scoped in scope.models.iter().take(LISTED) {
                    tr {
                        td { (model(&scoped.model)) }
                        td { (scoped.role) }
                        td { (scoped.why()) }
                        @if digests { td { code { (scoped.digest) } } }
                    }
                }
            }
        } }
        @if scope.models.len() > LISTED {
            p.soft { "and " (scope.models.len() - LISTED) " more; the JSON has all of them" }
        }
    }
}

/// What a request cannot reach.
pub(super) fn unreached(scope: &ErasureScope) -> Markup {
    html! { ul { @for what in &scope.unreached { li { (left(what)) } } } }
}

/// A count with its noun.
pub(super) fn plural(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        count => format!("{count} {noun}s"),
    }
}

fn left(what: &Unreached) -> String {
    match what {
        Unreached::Copies => {
            "Copies that were exported or deployed: the registry does not know where they are."
                .into()
        }
        Unreached::Backups => "Backups, and earlier versions that the storage keeps.".into(),
        Unreached::NoRecord { count, models } => {
            let names: Vec<String> = models.iter().map(ToString::to_string).collect();
            let more = if *count > models.len() { ", ..." } else { "" };
            format!(
                "{count} models do not say what they were trained on: {}{more}",
                names.join(", ")
            )
        }
    }
}
