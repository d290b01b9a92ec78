//! The steps of a request as forms, and what their sending does.

use std::sync::Arc;

use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use disinherit::registry::{ErasureRequest, ErasureState, OperationId};
use disinherit_desk::Terms;
use maud::{Markup, html};
use serde::Deserialize;

use crate::act::Act;
use crate::api::body::number;
use crate::api::requests::known;
use crate::app::{App, Caller};
use crate::page::form::Form;
use crate::page::frame::problem;
use crate::problem::Problem;
use crate::rights::Right;
use crate::when::end_of;

/// A form of a step.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::page) struct Said {
    text: String,
    deadline: String,
    /// The revision that the page showed.
    seen: Option<i64>,
}

/// The step that comes next, for those who may take it.
pub(super) fn next(erasure: &ErasureRequest, may: &dyn Fn(Right) -> bool) -> Markup {
    let (step, title, right) = match erasure.state {
        ErasureState::Received => ("plan", "Plan it", Right::Operate),
        ErasureState::Planned => ("approve", "Approve it", Right::Approve),
        ErasureState::Approved => ("run", "Run it", Right::Operate),
        ErasureState::Cancelled => ("run", "Run it again", Right::Operate),
        ErasureState::Running if erasure.is_being_run() => {
            ("run", "Take the run up", Right::Operate)
        }
        ErasureState::Running => ("verify", "Verify it", Right::Operate),
        ErasureState::Verified => ("certify", "Sign the certificate", Right::Operate),
        ErasureState::Certified => ("purge", "Purge what remembers", Right::Operate),
        ErasureState::Purged => ("close", "Close it", Right::Operate),
        ErasureState::Failed => ("plan", "Plan it anew", Right::Operate),
        ErasureState::Closed | ErasureState::Rejected => return html! {},
    };
    let about = match step {
        "plan" => {
            "Put on record which models it touches as they are now, and by which method they are edited."
        }
        "approve" => {
            "Read whom it touches and what it cannot reach. What is approved is what is run."
        }
        "run" => {
            "The models are edited, and all new versions are published at once. It can be stopped and taken up."
        }
        "verify" => "The evaluator looks what the new versions still recognise.",
        "certify" => {
            "What was asked, done and found is signed. Anybody can check it offline with the public key."
        }
        "purge" => "The weights of all replaced versions are deleted. This cannot be undone.",
        _ => "The person was told. Nothing is left to do then.",
    };
    html! {
        section.panel.next aria-label="What comes next" {
            p { strong { "Next" } " " (about) }
            @if may(right) {
                form method="post" action={ "/requests/" (erasure.id) "/" (step) } {
                    (seen(erasure)) button.main type="submit" { (title) }
                }
            } @else { p.soft { "Your role may not do that." } }
        }
    }
}

fn seen(erasure: &ErasureRequest) -> Markup {
    html! { input type="hidden" name="seen" value=(erasure.last.operation); }
}

/// The form that stops a job.
pub(super) fn cancel(erasure: &ErasureRequest) -> Markup {
    html! {
        form method="post" action={ "/requests/" (erasure.id) "/cancel" } {
            button type="submit" { "Cancel it" }
        }
    }
}

/// What else can be done.
pub(super) fn others(erasure: &ErasureRequest, may: &dyn Fn(Right) -> bool) -> Markup {
    use ErasureState::{Approved, Cancelled, Failed, Planned, Received};
    let early = matches!(
        erasure.state,
        Received | Planned | Approved | Failed | Cancelled
    );
    let to = |step: &str| format!("/requests/{}/{step}", erasure.id);
    html! {
        @if may(Right::Comment) { details { summary { "Comment" }
            form method="post" action=(to("comment")) {
                label for="comment" { "Comment" }
                textarea id="comment" name="text" required {}
                p.hint { "No names: the log keeps it for good." }
                button type="submit" { "Say it" }
            } } }
        @if may(Right::Operate) && erasure.state.is_open() { details { summary { "Another deadline" }
            form method="post" action=(to("extend")) {
                label for="date" { "Deadline" }
                input id="date" name="deadline" type="date";
                p.hint { "Three months after the arrival when not given." }
                label for="why" { "Why" }
                input id="why" name="text" required;
                p { button type="submit" { "Extend it" } }
            } } }
        @if may(Right::Approve) && early { details { summary { "Reject" }
            form method="post" action=(to("reject")) {
                (seen(erasure))
                label for="reason" { "Why" }
                input id="reason" name="text" required;
                p { button.danger type="submit" { "Reject it" } }
            } } }
        @if may(Right::Operate) && erasure.state == Failed {
            form method="post" action=(to("run")) { (seen(erasure)) button type="submit" { "Run it again" } }
        }
    }
}

type Called = (
    State<Arc<App>>,
    Extension<Option<Caller>>,
    Path<String>,
    Form<Said>,
);

async fn take(
    called: Called,
    act: impl FnOnce(Said) -> Result<Act, Problem>,
) -> Result<Redirect, Response> {
    let (State(app), Extension(caller), Path(id), Form(said)) = called;
    let failed = |error: Problem| problem(caller.as_ref(), &error);
    let id = number(&id).map_err(failed)?;
    let seen = said.seen.map(OperationId::new);
    let who = known(caller.clone()).map_err(failed)?;
    let act = act(said).map_err(failed)?;
    act.take(&app, &who, id, seen).await.map_err(failed)?;
    Ok(Redirect::to(&format!("/requests/{id}")))
}

pub(in crate::page) async fn comment(called: Called) -> Result<Response, Response> {
    take(called, |said| Ok(Act::Comment { text: said.text }))
        .await
        .map(IntoResponse::into_response)
}

pub(in crate::page) async fn plan(called: Called) -> Result<Response, Response> {
    take(called, |_| Ok(Act::Plan(Terms::default())))
        .await
        .map(IntoResponse::into_response)
}

pub(in crate::page) async fn approve(called: Called) -> Result<Response, Response> {
    take(called, |_| Ok(Act::Approve))
        .await
        .map(IntoResponse::into_response)
}

pub(in crate::page) async fn reject(called: Called) -> Result<Response, Response> {
    take(called, |said| Ok(Act::Reject { reason: said.text }))
        .await
        .map(IntoResponse::into_response)
}

pub(in crate::page) async fn run(called: Called) -> Result<Response, Response> {
    take(called, |_| Ok(Act::Run))
        .await
        .map(IntoResponse::into_response)
}

pub(in crate::page) async fn cancelled(called: Called) -> Result<Response, Response> {
    let reason = |said: Said| Some(said.text).filter(|text| !text.is_empty());
    take(called, |said| {
        Ok(Act::Cancel {
            reason: reason(said),
        })
    })
    .await
    .map(IntoResponse::into_response)
}

pub(in crate::page) async fn verify(called: Called) -> Result<Response, Response> {
    take(called, |_| Ok(Act::Verify))
        .await
        .map(IntoResponse::into_response)
}

pub(in crate::page) async fn certify(called: Called) -> Result<Response, Response> {
    take(called, |_| Ok(Act::Certify))
        .await
        .map(IntoResponse::into_response)
}

pub(in crate::page) async fn purge(called: Called) -> Result<Response, Response> {
    take(called, |_| Ok(Act::Purge))
        .await
        .map(IntoResponse::into_response)
}

pub(in crate::page) async fn close(called: Called) -> Result<Response, Response> {
    take(called, |_| Ok(Act::Close))
        .await
        .map(IntoResponse::into_response)
}

pub(in crate::page) async fn extend(called: Called) -> Result<Response, Response> {
    let act = |said: Said| {
        let date = Some(said.deadline).filter(|date| !date.is_empty());
        let deadline = date
            .map(|date| end_of(&date))
            .transpose()
            .map_err(Problem::bad)?;
        let reason = said.text;
        Ok(Act::Extend { deadline, reason })
    };
    take(called, act).await.map(IntoResponse::into_response)
}
