//! The steps of a request, one endpoint each.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use disinherit::registry::LossBound;
use disinherit_desk::Terms;
use disinherit_lab::MethodKind;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::act::Act;
use crate::api::body::{Body, number, seen};
use crate::api::requests::known;
use crate::api::view::{RequestView, answer};
use crate::app::{App, Caller};
use crate::problem::Problem;
use crate::query::Path;

/// A comment.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TextBody {
    text: String,
}

/// A reason.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReasonBody {
    reason: String,
}

/// Why something is stopped.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CancelBody {
    reason: Option<String>,
}

/// Another deadline.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExtendBody {
    /// In milliseconds since 1970-01-01 UTC; three months after the arrival when not given.
    #[serde(default)]
    deadline: Option<u64>,
    reason: String,
}

/// How a request is to be carried out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PlanBody {
    /// The method, such as `fiun`; chosen by what must be forgotten when not given.
    method: Option<String>,
    /// What an edit aims at losing at most in retained accuracy: 0 to 1.
    target_loss: Option<f64>,
    /// The loss above which a run is stopped before anything is published: 0 to 1.
    accept_loss: Option<f64>,
}

/// Nothing to say.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct NoBody {}

impl PlanBody {
    fn terms(&self) -> Result<Terms, Problem> {
        for share in [self.target_loss, self.accept_loss].into_iter().flatten() {
            if !(0.0..=1.0).contains(&share) {
                return Err(Problem::bad("a loss is a share of accuracy, 0 to 1"));
            }
        }
        let method = self
            .method
            .as_deref()
            .map(str::parse::<MethodKind>)
            .transpose();
        let usual = LossBound::default();
        Ok(Terms {
            method: method.map_err(Problem::bad)?,
            loss: LossBound {
                target: self.target_loss.unwrap_or(usual.target),
                accepted: self.accept_loss.or(usual.accepted),
            },
        })
    }
}

type Called = (State<Arc<App>>, Extension<Option<Caller>>, Path, HeaderMap);

async fn take(called: Called, status: StatusCode, act: Act) -> Result<Response, Problem> {
    let (State(app), Extension(caller), Path(id), headers) = called;
    let (caller, id, seen) = (known(caller)?, number(&id)?, seen(&headers)?);
    let erasure = act.take(&app, &caller, id, seen).await?;
    Ok(answer(status, &erasure))
}

/// Says something about a request.
#[utoipa::path(post, path = "/api/v1/requests/{id}/comment", tag = "steps", request_body = TextBody,
    params(("id" = i64, Path), ("if-match" = Option<String>, Header, description = "The ETag that was seen"),
        ("idempotency-key" = Option<String>, Header)),
    responses((status = 200, body = RequestView),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn comment(
    called: Called,
    Body(body): Body<TextBody>,
) -> Result<Response, Problem> {
    take(called, StatusCode::OK, Act::Comment { text: body.text }).await
}

/// Puts on record what a run will do.
#[utoipa::path(post, path = "/api/v1/requests/{id}/plan", tag = "steps", request_body = PlanBody,
    params(("id" = i64, Path), ("if-match" = Option<String>, Header, description = "The ETag that was seen"),
        ("idempotency-key" = Option<String>, Header)),
    responses((status = 200, body = RequestView),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn plan(called: Called, Body(body): Body<PlanBody>) -> Result<Response, Problem> {
    take(called, StatusCode::OK, Act::Plan(body.terms()?)).await
}

/// Approves a request as it was planned.
#[utoipa::path(post, path = "/api/v1/requests/{id}/approve", tag = "steps", request_body = NoBody,
    params(("id" = i64, Path), ("if-match" = Option<String>, Header, description = "The ETag that was seen"),
        ("idempotency-key" = Option<String>, Header)),
    responses((status = 200, body = RequestView),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn approve(called: Called, Body(_): Body<NoBody>) -> Result<Response, Problem> {
    take(called, StatusCode::OK, Act::Approve).await
}

/// Turns a request down. That is its end.
#[utoipa::path(post, path = "/api/v1/requests/{id}/reject", tag = "steps", request_body = ReasonBody,
    params(("id" = i64, Path), ("if-match" = Option<String>, Header, description = "The ETag that was seen"),
        ("idempotency-key" = Option<String>, Header)),
    responses((status = 200, body = RequestView),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn reject(
    called: Called,
    Body(body): Body<ReasonBody>,
) -> Result<Response, Problem> {
    take(
        called,
        StatusCode::OK,
        Act::Reject {
            reason: body.reason,
        },
    )
    .await
}

/// Gives a request another deadline.
#[utoipa::path(post, path = "/api/v1/requests/{id}/extend", tag = "steps", request_body = ExtendBody,
    params(("id" = i64, Path), ("if-match" = Option<String>, Header, description = "The ETag that was seen"),
        ("idempotency-key" = Option<String>, Header)),
    responses((status = 200, body = RequestView),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn extend(
    called: Called,
    Body(body): Body<ExtendBody>,
) -> Result<Response, Problem> {
    take(
        called,
        StatusCode::OK,
        Act::Extend {
            deadline: body.deadline,
            reason: body.reason,
        },
    )
    .await
}

/// Files a job that edits the models and publishes new versions.
#[utoipa::path(post, path = "/api/v1/requests/{id}/run", tag = "steps", request_body = NoBody,
    params(("id" = i64, Path), ("if-match" = Option<String>, Header, description = "The ETag that was seen"),
        ("idempotency-key" = Option<String>, Header)),
    responses((status = 202, body = RequestView),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn run(called: Called, Body(_): Body<NoBody>) -> Result<Response, Problem> {
    take(called, StatusCode::ACCEPTED, Act::Run).await
}

/// Stops the run or the job of a request. One that waits does not begin; one that is worked on publishes
/// nothing, and stops at its next task. What it has finished is kept for the next run.
#[utoipa::path(post, path = "/api/v1/requests/{id}/cancel", tag = "steps", request_body = CancelBody,
    params(("id" = i64, Path), ("if-match" = Option<String>, Header, description = "The ETag that was seen"),
        ("idempotency-key" = Option<String>, Header)),
    responses((status = 200, body = RequestView),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn cancel(
    called: Called,
    Body(body): Body<CancelBody>,
) -> Result<Response, Problem> {
    let reason = body.reason;
    take(called, StatusCode::OK, Act::Cancel { reason }).await
}

/// Files a job that has the new versions judged.
#[utoipa::path(post, path = "/api/v1/requests/{id}/verify", tag = "steps", request_body = NoBody,
    params(("id" = i64, Path), ("if-match" = Option<String>, Header, description = "The ETag that was seen"),
        ("idempotency-key" = Option<String>, Header)),
    responses((status = 202, body = RequestView),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn verify(called: Called, Body(_): Body<NoBody>) -> Result<Response, Problem> {
    take(called, StatusCode::ACCEPTED, Act::Verify).await
}

/// Signs the certificate.
#[utoipa::path(post, path = "/api/v1/requests/{id}/certify", tag = "steps", request_body = NoBody,
    params(("id" = i64, Path), ("if-match" = Option<String>, Header, description = "The ETag that was seen"),
        ("idempotency-key" = Option<String>, Header)),
    responses((status = 200, body = RequestView),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn certify(called: Called, Body(_): Body<NoBody>) -> Result<Response, Problem> {
    take(called, StatusCode::OK, Act::Certify).await
}

/// Deletes for good what the versions remember that were replaced.
#[utoipa::path(post, path = "/api/v1/requests/{id}/purge", tag = "steps", request_body = NoBody,
    params(("id" = i64, Path), ("if-match" = Option<String>, Header, description = "The ETag that was seen"),
        ("idempotency-key" = Option<String>, Header)),
    responses((status = 200, body = RequestView),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn purge(called: Called, Body(_): Body<NoBody>) -> Result<Response, Problem> {
    take(called, StatusCode::OK, Act::Purge).await
}

/// Closes a request: the person was told.
#[utoipa::path(post, path = "/api/v1/requests/{id}/close", tag = "steps", request_body = NoBody,
    params(("id" = i64, Path), ("if-match" = Option<String>, Header, description = "The ETag that was seen"),
        ("idempotency-key" = Option<String>, Header)),
    responses((status = 200, body = RequestView),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn close(called: Called, Body(_): Body<NoBody>) -> Result<Response, Problem> {
    take(called, StatusCode::OK, Act::Close).await
}
