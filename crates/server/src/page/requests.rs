//! The list of requests.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::Response;
use disinherit_audit::state;
use maud::{Markup, html};

use super::frame::{Frame, problem};
use super::words;
use crate::api::list::RequestQuery;
use crate::app::{App, Caller};
use crate::problem::Problem;
use crate::query::Query;
use crate::rights::Right;

/// The lists that the page offers: a name and the query.
const LISTS: [(&str, &str); 5] = [
    ("Open", ""),
    ("Due within 7 days", "due_within=7"),
    ("Overdue", "overdue=true"),
    ("Failed", "state=failed"),
    ("All, newest first", "state=all&newest=true"),
];

pub(super) async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    Query(query): Query<RequestQuery>,
) -> Result<Response, Response> {
    let failed = |error: Problem| problem(caller.as_ref(), &error);
    let page = query.page().map_err(failed)?;
    let full = page.limit as usize;
    let read = app.read(move |registry| Ok(registry.erasures(&page)?));
    let list = read.await.map_err(failed)?;
    let own = own(&query);
    let next = list
        .last()
        .filter(|_| list.len() == full)
        .map(|last| last.id);
    let may_file = caller
        .as_ref()
        .is_some_and(|caller| caller.role.may(Right::File));
    let frame = Frame {
        title: "Requests",
        at: "/",
        caller: caller.as_ref(),
        changing: false,
    };
    Ok(frame.around(&html! {
        div.head {
            h1 { "Erasure requests" }
            @if may_file { a.button.main href="/new" { "New request" } }
        }
        nav.filters aria-label="Lists" {
            @for (name, query) in LISTS {
                a href={ "/?" (query) } aria-current=[(query == own).then_some("page")] { (name) }
            }
        }
        @if list.is_empty() {
            (nothing(&own, may_file))
        } @else {
            div.wide tabindex="0" role="group" aria-label="Requests" { table.rows {
                thead { tr { th { "No." } th { "Forget" } th { "State" } th { "Deadline" } th.on-wide { "For" } th.on-wide { "Models" } } }
                tbody { @for erasure in &list { tr {
                    td.soft { (erasure.id) }
                    td.what { a href={ "/requests/" (erasure.id) } { (erasure.asked) } }
                    td { (state(erasure.state)) }
                    td { (words::deadline(erasure)) }
                    td.on-wide { (erasure.requester.as_deref().unwrap_or("-")) }
                    td.on-wide { @match &erasure.plan { Some(plan) => (plan.initial + plan.inherited), None => "-" } }
                } } }
            } }
            @if let Some(next) = next {
                p { a.button href={ "/?" (own) "&after=" (next) } { "More" } }
            }
        }
    }))
}

/// What a list says that has no entry.
fn nothing(own: &str, may_file: bool) -> Markup {
    html! {
        div.panel.empty {
            @if own.is_empty() {
                p { strong { "No open requests." } }
                p { "A person asks to be forgotten, a client leaves, a class must go. A request takes it from there:" }
                ol {
                    li { "Say what must be forgotten: a class, what a source supplied, or single samples." }
                    li { "See which models it touches, why, and what it cannot reach, before anything is filed." }
                    li { "Plan, approve and run it. All models that inherited are edited together." }
                    li { "Have it judged and certified, purge the weights that remember, and close it." }
                }
                @if may_file { p { a.button.main href="/new" { "New request" } } }
                @else { p.soft { "Requesters and administrators file requests." } }
            } @else {
                p { strong { "No such requests." } }
                p.soft { a href="/" { "Show the open ones" } " or " a href="/?state=all&newest=true" { "all of them" } "." }
            }
        }
    }
}

/// The query of a list, as its link has it.
fn own(query: &RequestQuery) -> String {
    let mut parts = Vec::new();
    if let Some(days) = query.due_within {
        parts.push(format!("due_within={days}"));
    }
    if query.overdue {
        parts.push("overdue=true".to_owned());
    }
    // It was read as states, so that it holds nothing but their names.
    if !query.state.is_empty() {
        parts.push(format!("state={}", query.state));
    }
    if query.newest {
        parts.push("newest=true".to_owned());
    }
    parts.join("&")
}
