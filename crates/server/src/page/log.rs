//! The log, with its chain checked.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::Response;
use disinherit_audit::time;
use maud::{Markup, html};

use super::frame::{Frame, problem};
use crate::api::log::{LogQuery, read};
use crate::app::{App, Caller};
use crate::query::Query;

pub(super) async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    Query(query): Query<LogQuery>,
) -> Result<Response, Response> {
    let log = read(&app, &query)
        .await
        .map_err(|error| problem(caller.as_ref(), &error))?;
    let frame = Frame {
        title: "Log",
        at: "/log",
        caller: caller.as_ref(),
        changing: false,
    };
    Ok(frame.around(&html! {
        h1 { "Log" }
        @if log.altered.is_empty() {
            p.good { "The chain of hashes is whole." }
        } @else {
            div.panel.problem role="alert" { "The log has been altered:"
                ul { @for what in &log.altered { li { (what) } } } }
        }
        @if log.entries.is_empty() { (nothing()) } @else { div.wide tabindex="0" role="group" aria-label="Log" { table.rows {
            thead { tr { th { "No." } th { "Time" } th { "Who" } th { "What" } th.on-wide { "Hash" } } }
            tbody { @for entry in &log.entries { tr {
                td { (entry.id) }
                td { (time(entry.time)) }
                td { (entry.actor) }
                td { (entry.command) }
                td.on-wide { code { (entry.hash.chars().take(12).collect::<String>()) } }
            } } }
        } } }
        @if let Some(next) = log.next { p { a.button href={ "/log?before=" (next) } { "Earlier" } } }
    }))
}

/// What a log says that has no entry.
fn nothing() -> Markup {
    html! {
        div.panel.empty {
            p { strong { "Nothing is logged yet." } }
            p { "Everything that changes the registry becomes an entry here: models that are added, requests and their steps, \
                purges. Each has its time, who did it, and a hash over itself and the entry before, so that nothing can be \
                altered or taken out without a trace." }
            p.soft { "The first entry comes with the first model (" code { "disinherit add" } ", " code { "import" } " or "
                code { "grow" } ") or the first request." }
        }
    }
}
