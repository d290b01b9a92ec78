//! The models, searched and filtered, page by page.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::Response;
use disinherit::registry::{
    ErasureId, ErasureOrder, ErasurePage, ErasureState, ModelRow, Page, Registry,
    State as ModelState,
};
use disinherit::umig::ModelId;
use disinherit_audit::time;
use disinherit_desk::Desk;
use maud::{Markup, html};
use serde::Deserialize;

use super::{manifest, network};
use crate::api::models::state_of;
use crate::app::{App, Caller};
use crate::page::frame::{Frame, problem};
use crate::page::links::{encoded, model};
use crate::problem::Problem;
use crate::query::Query;

/// How many models a page shows.
const SHOWN: usize = 50;

/// How many rows are read at a time.
const READ: u32 = 1000;

/// How many versions one page looks at. Where their networks are asked for, each is an object to read.
const LOOKED_AT: usize = 20_000;
const OPENED: usize = 2_000;

/// The most open requests whose scopes are looked at.
const REQUESTS: u32 = 100;

/// What is searched for.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(in crate::page) struct Search {
    /// A part of the name.
    q: String,
    /// `current`, `superseded` or `purged`.
    state: String,
    /// A part of the network's name.
    network: String,
    /// `open`: any open request; or the number of one.
    touched: String,
    /// The version after which the page starts.
    after: String,
}

/// What a page found, and where the next one starts.
struct Found {
    rows: Vec<(ModelRow, Option<String>)>,
    next: Option<ModelId>,
    /// The open requests that have a scope.
    open: Vec<ErasureId>,
}

impl Search {
    fn state(&self) -> Result<Option<ModelState>, Problem> {
        state_of(&self.state)
    }

    fn after(&self) -> Result<Option<ModelId>, Problem> {
        let text = Some(self.after.as_str()).filter(|text| !text.is_empty());
        let id = text.map(str::parse).transpose();
        id.map_err(|error| Problem::bad(format!("{error}")))
    }

    /// The versions that the requests touch which are asked for; nothing where none is.
    fn touched(
        &self,
        desk: &Desk<'_>,
        registry: &Registry,
        open: &[ErasureId],
    ) -> Result<Option<BTreeSet<ModelId>>, Problem> {
        let asked = match self.touched.as_str() {
            "" => return Ok(None),
            "open" => open.to_vec(),
            number => vec![crate::api::body::number(number)?],
        };
        let mut models = BTreeSet::new();
        for id in asked {
            if let Some(plan) = registry.erasure(id)?.plan {
                models.extend(desk.scope(&plan)?.models.into_iter().map(|m| m.model));
            }
        }
        Ok(Some(models))
    }

    fn find(&self, desk: &Desk<'_>, registry: &Registry) -> Result<Found, Problem> {
        let open = open(registry)?;
        let touched = self.touched(desk, registry, &open)?;
        let (mut after, state) = (self.after()?, self.state()?);
        let (name, kind) = (
            self.q.trim().to_lowercase(),
            self.network.trim().to_lowercase(),
        );
        let (mut rows, mut looked, mut opened) = (Vec::new(), 0, 0);
        loop {
            let page = Page {
                after: after.clone(),
                limit: READ,
                prefix: String::new(),
                state,
            };
            let read = registry.page(&page)?;
            let last = read.len() < READ as usize;
            for row in read {
                if rows.len() == SHOWN || looked >= LOOKED_AT || opened >= OPENED {
                    let next = after;
                    return Ok(Found { rows, next, open });
                }
                looked += 1;
                after = Some(row.vertex.id.clone());
                let id = &row.vertex.id;
                if !name.is_empty() && !id.to_string().to_lowercase().contains(&name)
                    || touched.as_ref().is_some_and(|ids| !ids.contains(id))
                {
                    continue;
                }
                opened += 1;
                let manifest = manifest(registry, row.manifest);
                let own = manifest.as_ref().and_then(network);
                let named = own.as_deref().unwrap_or_default().to_lowercase();
                if kind.is_empty() || named.contains(&kind) {
                    rows.push((row, own));
                }
            }
            if last {
                let next = None;
                return Ok(Found { rows, next, open });
            }
        }
    }

    /// The same search from another version on, as a link.
    fn link(&self, after: &ModelId) -> String {
        let parts = [
            ("q", &self.q),
            ("state", &self.state),
            ("network", &self.network),
            ("touched", &self.touched),
            ("after", &after.to_string()),
        ];
        let parts = parts.iter().filter(|(_, value)| !value.is_empty());
        let parts: Vec<String> = parts
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect();
        format!("/models?{}", parts.join("&"))
    }

    fn is_empty(&self) -> bool {
        [&self.q, &self.state, &self.network, &self.touched]
            .iter()
            .all(|text| text.is_empty())
    }
}

/// The open requests that were planned, the next deadline first.
fn open(registry: &Registry) -> Result<Vec<ErasureId>, Problem> {
    let page = ErasurePage {
        limit: REQUESTS,
        states: ErasureState::open(),
        order: ErasureOrder::Deadline,
        ..ErasurePage::default()
    };
    let found = registry.erasures(&page)?.into_iter();
    let planned = found.filter(|erasure| erasure.plan.is_some());
    Ok(planned.map(|erasure| erasure.id).collect())
}

pub(in crate::page) async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    Query(search): Query<Search>,
) -> Result<Response, Response> {
    let failed = |error: Problem| problem(caller.as_ref(), &error);
    let asked = search.clone();
    let found = app.at_desk("", move |desk, registry| asked.find(desk, registry));
    let found = found.await.map_err(failed)?;
    let frame = Frame {
        title: "Models",
        at: "/models",
        caller: caller.as_ref(),
        changing: false,
    };
    Ok(frame.around(&html! {
        h1 { "Models" }
        (filters(&search, &found.open))
        @if found.rows.is_empty() { (nothing(&search)) } @else { (table(&found.rows)) }
        @if let Some(next) = &found.next {
            p { a.button href=(search.link(next)) {
                @if found.rows.len() == SHOWN { "More" } @else { "Search on after " (next) }
            } }
        }
    }))
}

fn filters(search: &Search, open: &[ErasureId]) -> Markup {
    html! {
        form.filter method="get" action="/models" role="search" {
            div { label for="q" { "Name" } input id="q" name="q" type="search" value=(search.q); }
            div { label for="state" { "State" }
                select id="state" name="state" {
                    @for state in ["", "current", "superseded", "purged"] {
                        option value=(state) selected[state == search.state] {
                            (if state.is_empty() { "any" } else { state })
                        }
                    }
                } }
            div { label for="network" { "Network" } input id="network" name="network" value=(search.network); }
            div { label for="touched" { "Touched by" }
                select id="touched" name="touched" {
                    option value="" { "whatever" }
                    option value="open" selected[search.touched == "open"] { "any open request" }
                    @for id in open {
                        option value=(id) selected[search.touched == id.to_string()] { "request " (id) }
                    }
                } }
            button type="submit" { "Show" }
        }
    }
}

fn nothing(search: &Search) -> Markup {
    html! {
        div.panel {
            @if search.is_empty() {
                p { strong { "No models yet." } }
                p.soft { "The registry knows models by what they inherited from and what they were trained on. "
                    code { "disinherit import" } " takes whole trees of models in, " code { "disinherit add" }
                    " a single one, and " code { "disinherit serve" } " shows them here." }
            } @else {
                p { strong { "No such models." } }
                p.soft { "A name is found by any part of it. " a href="/models" { "Show all models" } "." }
            }
        }
    }
}

fn table(rows: &[(ModelRow, Option<String>)]) -> Markup {
    html! {
        div.wide tabindex="0" role="group" aria-label="Models" { table.rows {
            thead { tr { th { "Model" } th { "State" } th { "Network" } th.on-wide { "Trained on" } th.on-wide { "Published" } th.on-wide { "Digest" } } }
            tbody { @for (row, network) in rows { tr {
                td { (model(&row.vertex.id)) }
                td { (state(row.state())) }
                td { (network.as_deref().unwrap_or("-")) }
                td.soft.on-wide { (data(row)) }
                td.on-wide { (time(row.vertex.time)) }
                td.on-wide { code { (row.manifest.to_string().chars().take(12).collect::<String>()) } }
            } } }
        } }
    }
}

/// What a version was trained on, in short.
fn data(row: &ModelRow) -> String {
    let trainings = row.vertex.training.iter();
    let names: BTreeSet<String> = trainings
        .map(|training| match (&training.split, &training.source) {
            (_, Some(source)) => format!("{} from {source}", training.data),
            (Some(split), None) => format!("{}/{split}", training.data),
            (None, None) => training.data.clone(),
        })
        .collect();
    match names.len() {
        0 => "-".into(),
        1..=2 => names.into_iter().collect::<Vec<_>>().join(", "),
        more => format!("{more} sets"),
    }
}

/// The state of a version.
pub(super) fn state(state: ModelState) -> Markup {
    let mark = match state {
        ModelState::Current => "●",
        ModelState::Superseded => "○",
        ModelState::Purged => "✕",
    };
    let class = match state {
        ModelState::Purged => "soft",
        other => other.name(),
    };
    html! { span class={ "state " (class) } { span aria-hidden="true" { (mark) } " " (state.name()) } }
}
