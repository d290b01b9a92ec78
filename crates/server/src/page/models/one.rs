//! One version of a model: what it is, what it inherited, what inherited from it, who asked it to forget.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Extension, Path, State};
use axum::response::Response;
use disinherit::registry::{
    CardRow, ErasureId, Manifest, ModelRow, OperationId, OperationRecord, Page, Registry,
};
use disinherit::umig::{ModelId, Umig};
use disinherit_audit::{plural, time, training_in_words};
use disinherit_report::{Place, ScopeGraph, ScopeModel, View};
use maud::{Markup, html};

use super::list::state;
use super::{manifest, network};
use crate::app::{App, Caller};
use crate::page::frame::{Frame, problem};
use crate::page::links::{model, path_of, request};
use crate::page::scope::ViewQuery;
use crate::problem::Problem;
use crate::query::Query;

/// How many generations of ancestors are drawn.
const GENERATIONS: usize = 3;

/// The most versions of a name that are listed.
const VERSIONS: usize = 50;

/// All that the page shows.
struct Shown {
    row: ModelRow,
    manifest: Option<Manifest>,
    lineage: ScopeGraph,
    children: usize,
    versions: Vec<ModelRow>,
    cards: Vec<CardRow>,
    touched: Vec<Touch>,
}

/// A run that replaced or made the version.
struct Touch {
    operation: OperationId,
    time: u64,
    erasure: Option<ErasureId>,
    /// What the version was in it.
    how: &'static str,
}

pub(in crate::page) async fn one(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    Path(id): Path<String>,
    Query(query): Query<ViewQuery>,
) -> Result<Response, Response> {
    let failed = |error: Problem| problem(caller.as_ref(), &error);
    let view = query.view().map_err(failed)?;
    let read = app.read(move |registry| read(registry, &id));
    let shown = read.await.map_err(failed)?;
    let title = shown.row.vertex.id.to_string();
    let frame = Frame {
        title: &title,
        at: "/models",
        caller: caller.as_ref(),
        changing: false,
    };
    let lineage = lineage(&shown, &view).map_err(failed)?;
    Ok(frame.around(&html! {
        p.soft { a href="/models" { "Models" } }
        h1 { (title) }
        p { (state(shown.row.state())) }
        (facts(&shown))
        (lineage)
        (requests(&shown.touched))
        (versions(&shown))
        (cards(&shown.cards))
    }))
}

fn read(registry: &Registry, id: &str) -> Result<Shown, Problem> {
    let missing = || Problem::missing(format!("there is no model `{id}`"));
    let id: ModelId = id.parse().map_err(|_| missing())?;
    let row = registry.model(&id)?.ok_or_else(missing)?;
    let graph = registry.graph()?;
    let named = Page {
        limit: 1000,
        prefix: id.name().to_owned(),
        ..Page::default()
    };
    let versions = registry.page(&named)?.into_iter();
    let own = versions.filter(|row| row.vertex.id.name() == id.name());
    Ok(Shown {
        manifest: manifest(registry, row.manifest),
        children: graph.children(&id).len(),
        lineage: around(&graph, &id),
        versions: own.take(VERSIONS).collect(),
        cards: registry.cards(row.manifest)?,
        touched: touched(registry, &id)?,
        row,
    })
}

/// The version with some generations of ancestors, and its children.
fn around(graph: &Umig, id: &ModelId) -> ScopeGraph {
    let mut kept: Vec<ModelId> = vec![id.clone()];
    let mut seen: BTreeSet<ModelId> = kept.iter().cloned().collect();
    let mut open = kept.clone();
    for _ in 0..GENERATIONS {
        let before: Vec<ModelId> = open
            .iter()
            .flat_map(|id| graph.parents(id))
            .map(|(parent, _)| parent.clone())
            .collect();
        open = before
            .into_iter()
            .filter(|id| seen.insert(id.clone()))
            .collect();
        kept.extend(open.iter().cloned());
    }
    let children = graph.children(id).into_iter().map(|(child, _)| child);
    kept.extend(children.filter(|id| seen.insert((*id).clone())).cloned());
    let drawn = |id: &ModelId| ScopeModel {
        id: id.clone(),
        role: None,
        retired: false,
        parents: graph
            .parents(id)
            .into_iter()
            .filter(|(parent, _)| seen.contains(parent))
            .map(|(parent, relation)| (parent.clone(), relation.name().to_owned()))
            .collect(),
    };
    ScopeGraph::new(kept.iter().map(drawn).collect())
}

/// The runs that touched a version, by the log.
fn touched(registry: &Registry, id: &ModelId) -> Result<Vec<Touch>, Problem> {
    let mut list = Vec::new();
    for row in registry.operations()? {
        if row.command != "unlearn" {
            continue;
        }
        let replaced = row.made.superseded.contains(id);
        let made = row.made.models.iter().any(|(made, _)| made == id);
        if !replaced && !made {
            continue;
        }
        let OperationRecord::Unlearn(record) = row.record()? else {
            continue;
        };
        let retired = record.retired.iter().any(|gone| gone.model == *id);
        list.push(Touch {
            operation: row.id,
            time: row.time,
            erasure: record.erasure.map(|run| run.request),
            how: match (made, retired) {
                (true, _) => "made by it",
                (false, true) => "retired by it",
                (false, false) => "replaced by it",
            },
        });
    }
    Ok(list)
}

fn facts(shown: &Shown) -> Markup {
    let row = &shown.row;
    html! {
        dl {
            dt { "Published" } dd { (time(row.vertex.time)) }
            @if let Some(operation) = row.superseded_by { dt { "Replaced by entry" } dd { (operation) " of the log" } }
            dt { "Digest" } dd { code { (row.manifest) } }
            @match &shown.manifest {
                Some(manifest) => {
                    dt { "Network" } dd { (network(manifest).unwrap_or_else(|| "not known: weights that are only kept".into())) }
                    dt { "Parameters" } dd { (manifest.parameters()) " in " (plural(manifest.tensors.len(), "tensor"))
                        @if !manifest.head.is_empty() { ", head " code { (manifest.head) } } }
                }
                None => { dt { "Weights" } dd { "deleted; the record stays" } }
            }
            @if !row.vertex.labels.is_empty() { dt { "Labels" } dd { (labels(&row.vertex.labels)) } }
            dt { "Trained on" } dd {
                @if row.vertex.training.is_empty() { "nothing of its own, as far as is on record" }
                @for training in &row.vertex.training { div { (training_in_words(training)) } }
            }
        }
    }
}

/// The most labels that are named.
const LABELS: usize = 40;

fn labels(labels: &[String]) -> String {
    let named = labels[..labels.len().min(LABELS)].join(", ");
    match labels.len().saturating_sub(LABELS) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn lineage(shown: &Shown, view: &View) -> Result<Markup, Problem> {
    let own = &shown.row.vertex.id;
    let path = path_of(own);
    let link = |place: Place<'_>| match place {
        Place::Family(number, from) => Some(format!("{path}?family={number}&from={from}#lineage")),
        Place::Model(id) => (id != own).then(|| path_of(id)),
    };
    let missing = || Problem::missing("the graph of this model has no such part");
    let drawn = shown.lineage.draw(view, &link).ok_or_else(missing)?;
    Ok(html! {
        section.lineage id="lineage" {
            h2 { "Lineage" }
            @if shown.children == 0 { p.soft { "Nothing inherited from it yet." } }
            @else { p.soft { (plural(shown.children, "model")) " inherited from it directly." } }
            @if *view != View::Whole { p { a href={ (path) "#lineage" } { "The whole lineage" } } }
            (drawn)
        }
    })
}

fn requests(touched: &[Touch]) -> Markup {
    html! {
        section { h2 { "Requests" }
            @if touched.is_empty() { p.soft { "No request has touched it." } }
            @else { ul { @for touch in touched { li {
                @match touch.erasure {
                    Some(id) => (request(id)),
                    None => { "A run without a record" }
                }
                ": " (touch.how) ", entry " (touch.operation) " of the log, " (time(touch.time))
            } } } }
        }
    }
}

fn versions(shown: &Shown) -> Markup {
    html! {
        section { h2 { "Versions" }
            div.wide tabindex="0" role="group" aria-label="Versions" { table {
                thead { tr { th { "Version" } th { "State" } th { "Published" } th { "Digest" } } }
                tbody { @for row in &shown.versions { tr {
                    td { @if row.vertex.id == shown.row.vertex.id { strong { (row.vertex.id) } } @else { (model(&row.vertex.id)) } }
                    td { (state(row.state())) }
                    td { (time(row.vertex.time)) }
                    td { code { (row.manifest.to_string().chars().take(16).collect::<String>()) } }
                } } }
            } }
        }
    }
}

fn cards(cards: &[CardRow]) -> Markup {
    html! {
        section { h2 { "FIM cards" }
            @if cards.is_empty() {
                p.soft { "None: a request that touches it reads its training data. " code { "disinherit fisher" } " makes one." }
            } @else { ul { @for card in cards { li { (card.estimator) ", " code { (card.blob) } } } } }
        }
    }
}
