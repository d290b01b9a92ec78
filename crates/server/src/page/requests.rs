//! The list of requests.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::Response;
use maud::html;

use super::frame::{Frame, problem};
use super::words;
use crate::api::list::RequestQuery;
use crate::app::{App, Caller};
use crate::problem::Problem;
use crate::query::Query;

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
    let frame = Frame {
        title: "Requests",
        at: "/",
        caller: caller.as_ref(),
        changing: false,
    };
    Ok(frame.around(&html! {
        h1 { "Erasure requests" }
        nav.filters aria-label="Lists" {
            @for (name, query) in LISTS {
                a href={ "/?" (query) } aria-current=[(query == own).then_some("page")] { (name) }
            }
        }
        @if list.is_empty() {
            div.panel {
                p { "No such requests." }
                p.soft { "A request says what must be forgotten: a class, what a source supplied, or single samples. \
                    Before it is filed, you see which models it would touch and why." }
                a.button.main href="/new" { "New request" }
            }
        } @else {
            div.wide { table {
                thead { tr { th { "No." } th { "Forget" } th { "State" } th { "Deadline" } th { "For" } } }
                tbody { @for erasure in &list { tr {
                    td { a href={ "/requests/" (erasure.id) } { (erasure.id) } }
                    td { a href={ "/requests/" (erasure.id) } { (erasure.asked) } }
                    td { (words::state(erasure.state)) }
                    td { (words::deadline(erasure)) }
                    td { (erasure.requester.as_deref().unwrap_or("-")) }
                } } }
            } }
            @if let Some(next) = next {
                p { a href={ "/?" (own) "&after=" (next) } { "More" } }
            }
        }
    }))
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
