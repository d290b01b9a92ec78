//! Webhooks: made, listed, tried, removed.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use disinherit::registry::Webhook;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::body::Body;
use crate::api::requests::known;
use crate::api::steps::NoBody;
use crate::app::{App, Caller};
use crate::problem::Problem;
use crate::query::Path;
use crate::reply::Json;
use crate::webhooks::make::NewWebhook;
use crate::webhooks::steps;

/// A webhook that is to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookBody {
    /// Where messages go.
    url: String,
    /// What they are signed with, `whsec_` and 24 to 64 bytes in base64; made when not given.
    #[serde(default)]
    secret: Option<String>,
    /// The states that are told, such as `verified`; all when there are none.
    #[serde(default)]
    states: Vec<String>,
    /// How often a message is tried before it is given up; 9 when not given.
    #[serde(default)]
    attempts: Option<u32>,
    /// The pause after the first attempt that failed, in milliseconds; 5000 when not given.
    #[serde(default)]
    pause: Option<u64>,
    /// Whether messages may go unencrypted to other machines.
    #[serde(default)]
    allow_http: bool,
}

/// A webhook, and what has become of its messages.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookView {
    id: i64,
    url: String,
    /// The states that are told; all when there are none.
    states: Vec<String>,
    attempts: u32,
    /// In milliseconds.
    pause: u64,
    created_by: String,
    /// In milliseconds since 1970-01-01 UTC.
    created: u64,
    /// Since when its messages wait because it was paused, if it was.
    paused: Option<u64>,
    /// How many messages are still to be delivered.
    waiting: u64,
    delivered: u64,
    /// When the last one arrived.
    last: Option<u64>,
    given_up: u64,
    /// Why the last attempt failed that did; empty where none has.
    said: String,
}

/// A webhook that was just made, with its secret: it is not shown again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MadeWebhook {
    webhook: WebhookView,
    secret: String,
}

/// Webhooks, by number.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WebhookList {
    webhooks: Vec<WebhookView>,
}

impl From<&Webhook> for WebhookView {
    fn from(webhook: &Webhook) -> Self {
        let tally = &webhook.tally;
        Self {
            id: webhook.id,
            url: webhook.url.clone(),
            states: webhook.states.iter().map(ToString::to_string).collect(),
            attempts: webhook.attempts,
            pause: webhook.pause,
            created_by: webhook.created_by.clone(),
            created: webhook.created,
            paused: webhook.paused,
            waiting: tally.waiting,
            delivered: tally.delivered,
            last: tally.last,
            given_up: tally.given_up,
            said: tally.said.clone(),
        }
    }
}

impl WebhookBody {
    fn read(self) -> Result<NewWebhook, Problem> {
        Ok(NewWebhook {
            url: self.url,
            secret: self.secret,
            states: steps::states(self.states.iter().map(String::as_str))?,
            attempts: self.attempts.unwrap_or(NewWebhook::ATTEMPTS),
            pause: self.pause.unwrap_or(NewWebhook::PAUSE),
            allow_http: self.allow_http,
        })
    }
}

/// Lists webhooks, without their secrets.
#[utoipa::path(get, path = "/api/v1/webhooks", tag = "webhooks",
    responses((status = 200, body = WebhookList),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<Json<WebhookList>, Problem> {
    let found = app.read(|registry| Ok(registry.webhooks()?)).await?;
    Ok(Json(WebhookList {
        webhooks: found.iter().map(Into::into).collect(),
    }))
}

/// Makes a webhook: from now on it is told when requests change their state.
#[utoipa::path(post, path = "/api/v1/webhooks", request_body = WebhookBody, tag = "webhooks",
    responses((status = 201, body = MadeWebhook),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn add(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    Body(body): Body<WebhookBody>,
) -> Result<Response, Problem> {
    let (caller, new) = (known(caller)?, body.read()?);
    let made = steps::add(&app, &caller, new).await?;
    let made = MadeWebhook {
        webhook: (&made).into(),
        secret: made.secret,
    };
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// Sends a message of the type `webhook.test`, once, and says whether it arrived.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/test", params(("id" = i64, Path)),
    request_body = NoBody, tag = "webhooks",
    responses((status = 200, body = WebhookView),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 502, body = Problem, content_type = "application/problem+json",
            description = "It has not arrived")))]
pub(crate) async fn test(
    State(app): State<Arc<App>>,
    Path(id): Path,
    Body(_): Body<NoBody>,
) -> Result<Json<WebhookView>, Problem> {
    let tested = steps::test(&app, &id).await?;
    Ok(Json((&tested).into()))
}

/// Pauses a webhook: its messages wait from now on.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/pause", params(("id" = i64, Path)),
    request_body = NoBody, tag = "webhooks",
    responses((status = 200, body = WebhookView),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn pause(
    State(app): State<Arc<App>>,
    Path(id): Path,
    Body(_): Body<NoBody>,
) -> Result<Json<WebhookView>, Problem> {
    let paused = steps::pause(&app, &id, true).await?;
    Ok(Json((&paused).into()))
}

/// Has the messages of a webhook that was paused delivered again, those that have waited first.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/resume", params(("id" = i64, Path)),
    request_body = NoBody, tag = "webhooks",
    responses((status = 200, body = WebhookView),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn resume(
    State(app): State<Arc<App>>,
    Path(id): Path,
    Body(_): Body<NoBody>,
) -> Result<Json<WebhookView>, Problem> {
    let resumed = steps::pause(&app, &id, false).await?;
    Ok(Json((&resumed).into()))
}

/// Removes a webhook, with what is still to be delivered.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/remove", params(("id" = i64, Path)),
    request_body = NoBody, tag = "webhooks",
    responses((status = 204),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn remove(
    State(app): State<Arc<App>>,
    Path(id): Path,
    Body(_): Body<NoBody>,
) -> Result<StatusCode, Problem> {
    steps::remove(&app, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}
