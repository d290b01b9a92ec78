//! Requests as callers read them.

use std::collections::BTreeSet;

use crate::reply::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use disinherit::registry::{Asked, ErasureRequest, Job, Stamp};
use serde::Serialize;
use utoipa::ToSchema;

/// An erasure request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RequestView {
    /// Its number.
    id: i64,
    /// How far it has come.
    state: String,
    /// What must be forgotten.
    forget: AskedView,
    /// The initial models, where they are named by hand.
    from: Vec<String>,
    /// Who asked, under a pseudonym.
    requester: Option<String>,
    /// The legal basis.
    basis: Option<String>,
    /// When it arrived, in milliseconds since 1970-01-01 UTC.
    received: u64,
    /// Until when it must be carried out, in milliseconds since 1970-01-01 UTC.
    deadline: u64,
    /// Why the deadline is another one than at first.
    extended: Option<String>,
    /// Who filed it.
    filed: StampView,
    /// What a run will do.
    plan: Option<PlanView>,
    /// Who approved that.
    approved: Option<StampView>,
    /// The operations that published models for it.
    published: Vec<i64>,
    /// What the evaluator said.
    verdict: Option<VerdictView>,
    /// The digest of the certificate.
    certificate: Option<String>,
    /// Why it was rejected, or has failed, or who cancelled its run.
    reason: Option<String>,
    /// The operation that changed it last, which is its ETag.
    revision: i64,
}

/// What must be forgotten.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AskedView {
    /// Every sample with one of these labels.
    Classes(BTreeSet<String>),
    /// Everything that one source supplied.
    Source(String),
    /// The samples of a list: how many.
    Samples(u64),
}

/// Who did something, when, by which operation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StampView {
    by: String,
    time: u64,
    operation: i64,
}

/// What a run will do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlanView {
    /// Models that were trained on the forget data.
    initial: usize,
    /// Models that inherited from those.
    inherited: usize,
    /// How many of both are retired.
    retired: usize,
    /// The method.
    method: String,
}

/// What the evaluator said.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VerdictView {
    passed: bool,
    judged: usize,
    recognised: usize,
    /// The least that was reached.
    judgement: Option<String>,
    /// Why nothing was judged, where nothing was.
    not_judged: Option<String>,
}

/// A run or a verification that waits, goes on, or has ended.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobView {
    id: i64,
    /// `run` or `verify`.
    kind: String,
    /// `waiting`, `taken`, `done`, `failed` or `cancelled`.
    state: String,
    /// For whom.
    actor: String,
    filed: u64,
    ended: Option<u64>,
    /// Its stage, why it failed, or who cancelled it.
    said: String,
}

impl From<&Stamp> for StampView {
    fn from(stamp: &Stamp) -> Self {
        Self {
            by: stamp.by.clone(),
            time: stamp.time,
            operation: stamp.operation.get(),
        }
    }
}

impl From<&ErasureRequest> for RequestView {
    fn from(erasure: &ErasureRequest) -> Self {
        Self {
            id: erasure.id.get(),
            state: erasure.state.to_string(),
            forget: match &erasure.asked {
                Asked::Classes(labels) => AskedView::Classes(labels.clone()),
                Asked::Source(source) => AskedView::Source(source.clone()),
                Asked::Samples(list) => AskedView::Samples(list.count()),
            },
            from: erasure.from.iter().map(ToString::to_string).collect(),
            requester: erasure.requester.clone(),
            basis: erasure.basis.clone(),
            received: erasure.received,
            deadline: erasure.deadline,
            extended: erasure.extended.clone(),
            filed: (&erasure.filed).into(),
            plan: erasure.plan.as_ref().map(|plan| PlanView {
                initial: plan.initial,
                inherited: plan.inherited,
                retired: plan.retired,
                method: plan.method.to_string(),
            }),
            approved: erasure.approved.as_ref().map(Into::into),
            published: erasure
                .published
                .iter()
                .map(|number| number.get())
                .collect(),
            verdict: erasure.verdict.as_ref().map(|verdict| VerdictView {
                passed: verdict.passed,
                judged: verdict.judged,
                recognised: verdict.recognised,
                judgement: verdict.judgement.clone(),
                not_judged: verdict.not_judged.clone(),
            }),
            certificate: erasure.certificate.map(|digest| digest.to_string()),
            reason: erasure.reason.clone(),
            revision: erasure.last.operation.get(),
        }
    }
}

impl From<&Job> for JobView {
    fn from(job: &Job) -> Self {
        Self {
            id: job.id,
            kind: job.kind.to_string(),
            state: job.state.to_string(),
            actor: job.actor.clone(),
            filed: job.filed,
            ended: job.ended,
            said: job.said.clone(),
        }
    }
}

/// A request as an answer, with its revision as the ETag.
pub(crate) fn answer(status: StatusCode, erasure: &ErasureRequest) -> Response {
    let mut answer = (status, Json(RequestView::from(erasure))).into_response();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", erasure.last.operation)) {
        answer.headers_mut().insert(header::ETAG, tag);
    }
    answer
}
