//! One request: how far it is, whom it touches, what it reached, what comes next.

mod report;
pub(super) mod steps;

use std::sync::Arc;

use axum::extract::{Extension, Path, State};
use axum::response::Response;
use disinherit::registry::{ErasureRequest, ErasureState, ErasureVerdict, Job};
use disinherit_audit::{Record, counts, history, models, moment, plural, state, time, unreached};
use disinherit_report::{View, judgement, plots};
use maud::{Markup, html};
use serde::Deserialize;

pub(super) use self::report::report;
use crate::api::body::number;
use crate::app::{App, Caller};
use crate::page::frame::{Frame, problem};
use crate::page::links::model_link;
use crate::page::scope::{ViewQuery, drawn};
use crate::page::words;
use crate::problem::Problem;
use crate::query::Query;
use crate::rights::Right;

/// How the page is to be shown.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(super) struct Still {
    /// Whether it is not read again by itself.
    still: bool,
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    Path(id): Path<String>,
    (Query(query), Query(still)): (Query<ViewQuery>, Query<Still>),
) -> Result<Response, Response> {
    let failed = |error: Problem| problem(caller.as_ref(), &error);
    let id = number(&id).map_err(failed)?;
    let view = query.view().map_err(failed)?;
    let read = app.at_desk("", move |desk, registry| {
        Ok((Record::read(desk, id)?, registry.jobs(id)?))
    });
    let (record, jobs) = read.await.map_err(failed)?;
    let may = |right| caller.as_ref().is_some_and(|caller| caller.role.may(right));
    let working = jobs.last().filter(|job| job.state.is_open());
    let erasure = &record.erasure;
    let title = match working {
        Some(job) => format!("Request {id}: {} {}", job.kind, job.state),
        None => format!("Request {id}: {}", erasure.state),
    };
    let frame = Frame {
        title: &title,
        at: "/",
        caller: caller.as_ref(),
        changing: working.is_some() && !still.still,
    };
    let touched = touched(&record, &view).map_err(failed)?;
    Ok(frame.around(&html! {
        h1 { "Request " (id) ": forget " (erasure.asked) }
        p.soft { (state(erasure.state)) " · due " (words::deadline(erasure)) }
        (way(erasure))
        @if let Some(reason) = &erasure.reason { div.panel.problem role="status" { (reason) } }
        @if let Some(job) = jobs.last() { (job_panel(job, erasure, still.still, &may)) }
        @if working.is_none() { (steps::next(erasure, &may)) }
        (facts(erasure, &may))
        (touched)
        @if let Some(verdict) = &erasure.verdict { (found(verdict, &record, &may)) }
        @if may(Right::Audit) { section { h2 { "History" } (history(&record.history, false)) } }
        (steps::others(erasure, &may))
    }))
}

/// The states of a life, and which one it is in.
fn way(erasure: &ErasureRequest) -> Markup {
    let states = &ErasureState::ALL[..8];
    let at = states.iter().position(|state| *state == erasure.state);
    html! {
        ol.steps aria-label="How far it is" {
            @for (index, state) in states.iter().enumerate() {
                @let done = at.is_some_and(|at| index < at || index + 1 == states.len() && index == at);
                li .done[done] aria-current=[(Some(index) == at).then_some("step")] {
                    @if done { span aria-hidden="true" { "✓ " } } (state)
                }
            }
        }
    }
}

fn job_panel(
    job: &Job,
    erasure: &ErasureRequest,
    still: bool,
    may: &dyn Fn(Right) -> bool,
) -> Markup {
    let path = format!("/requests/{}", erasure.id);
    html! {
        div.panel role="status" {
            strong { (job.kind) ": " (job.state) }
            @if !job.said.is_empty() { " - " (job.said) }
            div.soft { "for " (job.actor) ", since " (time(job.filed)) }
            @if job.state.is_open() {
                @if still { a href=(path) { "Show it as it goes on" } }
                @else { a href={ (path) "?still=true" } { "Do not read this page again by itself" } }
                @if may(Right::Operate) { (steps::cancel(erasure)) }
            }
        }
    }
}

fn facts(erasure: &ErasureRequest, may: &dyn Fn(Right) -> bool) -> Markup {
    html! {
        dl {
            dt { "For" } dd { (erasure.requester.as_deref().unwrap_or("not given")) }
            dt { "Legal basis" } dd { (erasure.basis.as_deref().unwrap_or("not given")) }
            dt { "Received" } dd { (time(erasure.received)) }
            @if let Some(reason) = &erasure.extended { dt { "Extended" } dd { (reason) } }
            dt { "Filed" } dd { (moment(&erasure.filed.by, erasure.filed.time)) }
            @if let Some(stamp) = &erasure.approved { dt { "Approved" } dd { (moment(&stamp.by, stamp.time)) } }
            dt { "Downloads" } dd { (downloads(erasure, may)) }
        }
    }
}

/// What can be taken along.
fn downloads(erasure: &ErasureRequest, may: &dyn Fn(Right) -> bool) -> Markup {
    let api = format!("/api/v1/requests/{}", erasure.id);
    let file = |what: &str| format!("request-{}{what}.json", erasure.id);
    html! {
        ul.downloads {
            @if may(Right::Audit) {
                @if erasure.certificate.is_some() {
                    li { a href={ (api) "/certificate" } download=(file("-certificate")) { "Certificate" } }
                }
                li { a href={ (api) "/bundle" } { "Bundle for auditors" } }
                li { a href={ "/requests/" (erasure.id) "/report" } { "Report for auditors" }
                    " (" a href={ "/requests/" (erasure.id) "/report?download=true" } { "HTML file" } ")" }
                @if erasure.verdict.is_some() {
                    li { a href={ (api) "/verdicts" } download=(file("-verdicts")) { "Verdicts" } }
                }
                li { a href={ (api) "/history" } download=(file("-log")) { "Its part of the log" } }
            }
            @if erasure.plan.is_some() { li { a href={ (api) "/scope" } download=(file("-scope")) { "Scope" } } }
            li { a href=(api) download=(file("")) { "JSON" } }
        }
    }
}

/// Whom it touches, as planned.
fn touched(record: &Record, view: &View) -> Result<Markup, Problem> {
    let Some((scope, graph)) = &record.scope else {
        return Ok(html! {});
    };
    let path = format!("/requests/{}", record.erasure.id);
    let drawn = drawn(graph, view, &path)?;
    Ok(html! {
        section {
            h2 { "Whom it touches" }
            (counts(scope))
            (drawn)
            details { summary { (plural(scope.models.len(), "model")) ", each with the reason" }
                (models(scope, false, &model_link)) }
            h3 { "What it cannot reach" }
            (unreached(scope))
        }
    })
}

/// What the evaluator found: all of it for those who may read verdicts.
fn found(verdict: &ErasureVerdict, record: &Record, may: &dyn Fn(Right) -> bool) -> Markup {
    html! {
        section {
            h2 { "Judgement" }
            @if may(Right::Audit) && !record.verdicts.is_empty() {
                (judgement(record.reached()))
                @for (title, plot) in plots(record.reached()) {
                    details { summary { (title) } (plot) }
                }
            } @else { (in_short(verdict)) }
        }
    }
}

/// A verdict in a sentence.
fn in_short(verdict: &ErasureVerdict) -> Markup {
    html! {
        p {
            @if let Some(why) = &verdict.not_judged { "Nothing was judged: " (why) }
            @else if verdict.recognised > 0 {
                (verdict.recognised) " of " (verdict.judged) " models still recognise the forget data."
            } @else {
                (plural(verdict.judged, "model")) " judged, each at least: "
                (verdict.judgement.as_deref().unwrap_or("-")) "."
            }
        }
    }
}
