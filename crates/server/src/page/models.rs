//! The models.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::Response;
use maud::html;

use super::frame::{Frame, problem};
use crate::api::models::ModelQuery;
use crate::app::{App, Caller};
use crate::problem::Problem;
use crate::query::Query;
use crate::when::time;

pub(super) async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    Query(query): Query<ModelQuery>,
) -> Result<Response, Response> {
    let failed = |error: Problem| problem(caller.as_ref(), &error);
    let page = query.page().map_err(failed)?;
    let full = page.limit as usize;
    let read = app.read(move |registry| Ok(registry.page(&page)?));
    let list = read.await.map_err(failed)?;
    let next = list.last().filter(|_| list.len() == full);
    let frame = Frame {
        title: "Models",
        at: "/models",
        caller: caller.as_ref(),
        changing: false,
    };
    Ok(frame.around(&html! {
        h1 { "Models" }
        form method="get" action="/models" {
            div.actions {
                div { label for="prefix" { "Name begins with" }
                    input id="prefix" name="prefix" value=(query.prefix); }
                div { label for="state" { "State" }
                    select id="state" name="state" {
                        @for state in ["", "current", "superseded", "purged"] {
                            option value=(state) selected[state == query.state] {
                                (if state.is_empty() { "any" } else { state })
                            }
                        }
                    } }
                button type="submit" { "Show" }
            }
        }
        @if list.is_empty() {
            p { "No such models. " code { "disinherit import" } " or " code { "disinherit add" } " puts models into the registry." }
        } @else {
            div.wide { table {
                thead { tr { th { "Model" } th { "State" } th { "Published" } th { "Digest" } } }
                tbody { @for row in &list { tr {
                    td { (row.vertex.id) }
                    td { (row.state().name()) }
                    td { (time(row.vertex.time)) }
                    td { code { (row.manifest.to_string().chars().take(16).collect::<String>()) } }
                } } }
            } }
            @if let Some(next) = next {
                // What follows one version, whatever its name holds.
                form method="get" action="/models" {
                    input type="hidden" name="prefix" value=(query.prefix);
                    input type="hidden" name="state" value=(query.state);
                    input type="hidden" name="after" value=(next.vertex.id);
                    button type="submit" { "More" }
                }
            }
        }
    }))
}
