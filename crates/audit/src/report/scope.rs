//! Whom a request touches: as a graph, in words, and as a table.

use std::collections::BTreeSet;

use disinherit::registry::Registry;
use disinherit::umig::{ModelId, Relation, Role, Umig};
use disinherit_desk::{ErasureScope, Unreached};
use disinherit_report::{ScopeGraph, ScopeModel, View};
use maud::{Markup, html};

use crate::error::AuditError;

/// The most models of a scope that a table shows.
const LISTED: usize = 200;

/// Where a model leads to, as a link; nothing where there is no page of it.
pub type ModelLink<'a> = &'a dyn Fn(&ModelId) -> Option<String>;

/// The graph of a scope, with the untouched models beside it.
///
/// # Errors
/// [`AuditError`] when the registry cannot be read.
pub fn graph_of(registry: &Registry, scope: &ErasureScope) -> Result<ScopeGraph, AuditError> {
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
fn parents(graph: &Umig, id: &ModelId) -> Vec<(ModelId, String)> {
    let parents = graph.parents(id).into_iter();
    let own = parents.filter(|(_, relation)| !matches!(relation, Relation::UnlearnedFrom { .. }));
    own.map(|(parent, relation)| (parent.clone(), relation.name().to_owned()))
        .collect()
}

/// A graph where nothing of it can be chosen.
pub fn still(graph: &ScopeGraph) -> Markup {
    html! { @if let Some(drawn) = graph.draw(&View::Whole, &|_| None) { (drawn) } }
}

/// How many models a request touches, by what.
pub fn counts(scope: &ErasureScope) -> Markup {
    let [initial, inherited, retired] = scope.counts();
    html! {
        p { "Touches " strong { (plural(scope.models.len(), "model")) } " by " (scope.method) ": "
            (initial) " trained on it, " (inherited) " inherited from those"
            @if retired > 0 { "; " (retired) " of them would be retired" } "." }
    }
}

/// The models of a scope with the reason for each, as a table; with their digests where those are asked for.
pub fn models(scope: &ErasureScope, digests: bool, link: ModelLink<'_>) -> Markup {
    let named = |id: &ModelId| {
        html! { @match link(id) { Some(to) => a href=(to) { (id) }, None => (id) } }
    };
    html! {
        div.wide tabindex="0" role="group" aria-label="Models" { table {
            thead { tr { th { "Model" } th { "Part" } th { "Why" } @if digests { th { "Digest" } } } }
            tbody {
                @for scoped in scope.models.iter().take(LISTED) {
                    tr {
                        td { (named(&scoped.model)) }
                        td { (scoped.role) }
                        td { (scoped.why()) }
                        @if digests { td { code { (scoped.digest) } } }
                    }
                }
            }
        } }
        @if scope.models.len() > LISTED {
            p.soft { "and " (scope.models.len() - LISTED) " more; the scope as JSON has all of them" }
        }
    }
}

/// What a request cannot reach.
pub fn unreached(scope: &ErasureScope) -> Markup {
    html! { ul { @for what in &scope.unreached { li { (left(what)) } } } }
}

/// A count with its noun.
pub fn plural(count: usize, noun: &str) -> String {
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
