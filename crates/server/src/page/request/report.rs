//! The auditor's report as a page, and as a file that is taken along.

use std::sync::Arc;

use axum::extract::{Extension, Path, State};
use axum::response::Response;
use disinherit_audit::{Evidence, report_file};
use maud::html;
use serde::Deserialize;

use crate::api::body::number;
use crate::app::{App, Caller};
use crate::page::frame::{Frame, html_answer, problem};
use crate::page::links::model_link;
use crate::problem::Problem;
use crate::query::Query;
use crate::reply::attached;

/// How the report is wanted.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(in crate::page) struct Wanted {
    /// As a file that needs nothing else.
    download: bool,
}

pub(in crate::page) async fn report(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Response> {
    let failed = |error: Problem| problem(caller.as_ref(), &error);
    let id = number(&id).map_err(failed)?;
    let evidence = app.at_desk("", move |desk, _| Ok(Evidence::read(desk, id)?));
    let evidence = evidence.await.map_err(failed)?;
    if wanted.download {
        let answer = html_answer(report_file(&evidence));
        return Ok(attached(answer, &format!("request-{id}-report.html")));
    }
    let title = format!("Report on request {id}");
    let frame = Frame {
        title: &title,
        at: "/",
        caller: caller.as_ref(),
        changing: false,
    };
    Ok(frame.around(&html! {
        p.actions.no-print { a href={ "/requests/" (id) } { "To the request" }
            a href={ "/requests/" (id) "/report?download=true" } { "As a file" }
            a href={ "/api/v1/requests/" (id) "/bundle" } { "With all that proves it" }
            span.soft { "or print this page." } }
        (disinherit_audit::report(&evidence, &model_link))
    }))
}
