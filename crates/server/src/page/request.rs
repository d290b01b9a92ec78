//! One request: how far it is, whom it touches, what comes next.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use disinherit::registry::{ErasureRequest, ErasureState, Job, OperationId, OperationRow};
use disinherit_desk::{ErasureScope, Terms};
use maud::{Markup, html};
use serde::Deserialize;

use super::frame::{Frame, problem};
use super::words;
use crate::act::Act;
use crate::api::body::number;
use crate::api::requests::known;
use crate::app::{App, Caller};
use crate::problem::Problem;
use crate::rights::Right;
use crate::when::{end_of, time};

/// A form of a step.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Said {
    text: String,
    deadline: String,
    /// The revision that the page showed.
    seen: Option<i64>,
}

/// All that the page shows.
struct Shown {
    erasure: ErasureRequest,
    scope: Option<ErasureScope>,
    jobs: Vec<Job>,
    history: Vec<OperationRow>,
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    Path(id): Path<String>,
) -> Result<Response, Response> {
    let failed = |error: Problem| problem(caller.as_ref(), &error);
    let id = number(&id).map_err(failed)?;
    let shown = app.at_desk("", move |desk, registry| {
        let erasure = registry.erasure(id)?;
        let scope = erasure
            .plan
            .as_ref()
            .map(|plan| desk.scope(plan))
            .transpose()?;
        Ok(Shown {
            scope,
            jobs: registry.jobs(id)?,
            history: registry.erasure_history(id)?,
            erasure,
        })
    });
    let shown = shown.await.map_err(failed)?;
    let may = |right| caller.as_ref().is_some_and(|caller| caller.role.may(right));
    let working = shown.jobs.last().is_some_and(|job| job.state.is_open());
    let title = format!("Request {id}");
    let frame = Frame {
        title: &title,
        at: "/",
        caller: caller.as_ref(),
        changing: working,
    };
    let erasure = &shown.erasure;
    Ok(frame.around(&html! {
        h1 { (title) ": forget " (erasure.asked) }
        p.soft { (words::state(erasure.state)) " due " (words::deadline(erasure)) }
        (way(erasure))
        @if let Some(reason) = &erasure.reason { div.panel.problem { (reason) } }
        @if let Some(job) = shown.jobs.last() { (job_panel(job)) }
        @if !working { (next(erasure, &may)) }
        (facts(erasure, &may))
        @if let Some(scope) = &shown.scope { section { h2 { "Whom it touches" } (words::scope(scope)) } }
        @if may(Right::Audit) { (history(&shown.history)) }
        (others(erasure, &may))
    }))
}

/// The states of a life, and which one it is in.
fn way(erasure: &ErasureRequest) -> Markup {
    let states = &ErasureState::ALL[..8];
    let at = states.iter().position(|state| *state == erasure.state);
    html! {
        ol.steps aria-label="How far it is" {
            @for (index, state) in states.iter().enumerate() {
                li .done[at.is_some_and(|at| index < at)] aria-current=[(Some(index) == at).then_some("step")] { (state) }
            }
        }
    }
}

fn job_panel(job: &Job) -> Markup {
    html! {
        div.panel aria-live="polite" {
            strong { (job.kind) ": " (job.state) }
            @if !job.said.is_empty() { " - " (job.said) }
            div.soft { "for " (job.actor) ", since " (time(job.filed)) }
        }
    }
}

/// The step that comes next, for those who may take it.
fn next(erasure: &ErasureRequest, may: &dyn Fn(Right) -> bool) -> Markup {
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
    html! {
        div.panel {
            @if may(right) {
                form method="post" action={ "/requests/" (erasure.id) "/" (step) } {
                    (seen(erasure)) button.main type="submit" { (title) }
                }
                @if step == "purge" { p.hint { "The weights of all replaced versions are deleted. This cannot be undone." } }
            } @else { span.soft { "Next: " (title.to_lowercase()) ". Your role may not do that." } }
        }
    }
}

fn seen(erasure: &ErasureRequest) -> Markup {
    html! { input type="hidden" name="seen" value=(erasure.last.operation); }
}

fn facts(erasure: &ErasureRequest, may: &dyn Fn(Right) -> bool) -> Markup {
    let api = format!("/api/v1/requests/{}", erasure.id);
    html! {
        dl {
            dt { "For" } dd { (erasure.requester.as_deref().unwrap_or("not given")) }
            dt { "Legal basis" } dd { (erasure.basis.as_deref().unwrap_or("not given")) }
            dt { "Received" } dd { (time(erasure.received)) }
            @if let Some(reason) = &erasure.extended { dt { "Extended" } dd { (reason) } }
            dt { "Filed" } dd { (words::moment(&erasure.filed.by, erasure.filed.time)) }
            @if let Some(stamp) = &erasure.approved { dt { "Approved" } dd { (words::moment(&stamp.by, stamp.time)) } }
            @if let Some(verdict) = &erasure.verdict { dt { "Judgement" } dd {
                @if let Some(why) = &verdict.not_judged { "nothing was judged: " (why) }
                @else if verdict.recognised > 0 { (verdict.recognised) " of " (verdict.judged) " models still recognise the forget data" }
                @else { (verdict.judged) " models judged, each at least: " (verdict.judgement.as_deref().unwrap_or("-")) }
            } }
            dt { "Downloads" } dd {
                a href=(api) { "JSON" }
                @if erasure.plan.is_some() { ", " a href={ (api) "/scope" } { "scope" } }
                @if may(Right::Audit) {
                    @if erasure.verdict.is_some() { ", " a href={ (api) "/verdicts" } { "verdicts" } }
                    @if erasure.certificate.is_some() { ", " a href={ (api) "/certificate" } { "certificate" } }
                    ", " a href={ (api) "/history" } { "history" }
                }
            }
        }
    }
}

fn history(rows: &[OperationRow]) -> Markup {
    html! {
        section { h2 { "History" }
            div.wide { table {
                thead { tr { th { "Operation" } th { "Time" } th { "Who" } th { "What" } } }
                tbody { @for row in rows { tr {
                    td { (row.id) } td { (time(row.time)) } td { (row.actor) } td { (row.command) }
                } } }
            } }
        }
    }
}

/// What else can be done.
fn others(erasure: &ErasureRequest, may: &dyn Fn(Right) -> bool) -> Markup {
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

pub(super) async fn comment(called: Called) -> Result<Response, Response> {
    take(called, |said| Ok(Act::Comment { text: said.text }))
        .await
        .map(IntoResponse::into_response)
}

pub(super) async fn plan(called: Called) -> Result<Response, Response> {
    take(called, |_| Ok(Act::Plan(Terms::default())))
        .await
        .map(IntoResponse::into_response)
}

pub(super) async fn approve(called: Called) -> Result<Response, Response> {
    take(called, |_| Ok(Act::Approve))
        .await
        .map(IntoResponse::into_response)
}

pub(super) async fn reject(called: Called) -> Result<Response, Response> {
    take(called, |said| Ok(Act::Reject { reason: said.text }))
        .await
        .map(IntoResponse::into_response)
}

pub(super) async fn run(called: Called) -> Result<Response, Response> {
    take(called, |_| Ok(Act::Run))
        .await
        .map(IntoResponse::into_response)
}

pub(super) async fn verify(called: Called) -> Result<Response, Response> {
    take(called, |_| Ok(Act::Verify))
        .await
        .map(IntoResponse::into_response)
}

pub(super) async fn certify(called: Called) -> Result<Response, Response> {
    take(called, |_| Ok(Act::Certify))
        .await
        .map(IntoResponse::into_response)
}

pub(super) async fn purge(called: Called) -> Result<Response, Response> {
    take(called, |_| Ok(Act::Purge))
        .await
        .map(IntoResponse::into_response)
}

pub(super) async fn close(called: Called) -> Result<Response, Response> {
    take(called, |_| Ok(Act::Close))
        .await
        .map(IntoResponse::into_response)
}

pub(super) async fn extend(called: Called) -> Result<Response, Response> {
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
