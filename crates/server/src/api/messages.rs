//! Messages of a webhook, page by page.

use std::sync::Arc;

use axum::extract::State;
use disinherit::registry::{MessageFate, OperationId, WebhookMessage};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::list::limit;
use crate::app::App;
use crate::problem::Problem;
use crate::query::{Path, Query};
use crate::reply::Json;
use crate::webhooks::steps;

/// Which messages.
#[derive(Debug, Default, Clone, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct MessageQuery {
    /// The message after which the page starts, by the operation that it tells of.
    after: Option<i64>,
    /// How many at most: 1 to 1000.
    limit: Option<u32>,
}

/// A message of a webhook, and what has become of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MessageView {
    webhook: i64,
    /// The operation that it tells of.
    operation: i64,
    request: i64,
    /// What the request became.
    state: String,
    /// How often it was tried.
    attempts: u32,
    /// `waiting`, `arrived` or `given_up`.
    fate: &'static str,
    /// From when on a message that waits is sent, in milliseconds since 1970-01-01 UTC; 0 for at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    due: Option<u64>,
    /// When a message arrived or was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<u64>,
    /// Why the last attempt failed of a message that was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    said: Option<String>,
}

/// Messages of a webhook, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MessageList {
    messages: Vec<MessageView>,
    /// For `after`, where there are more.
    next: Option<i64>,
}

impl From<WebhookMessage> for MessageView {
    fn from(message: WebhookMessage) -> Self {
        let (fate, due, time, said) = match message.fate {
            MessageFate::Waiting { due } => ("waiting", Some(due), None, None),
            MessageFate::Arrived { time } => ("arrived", None, Some(time), None),
            MessageFate::GivenUp { time, said } => ("given_up", None, Some(time), Some(said)),
        };
        Self {
            webhook: message.webhook,
            operation: message.operation.get(),
            request: message.request.get(),
            state: message.state.to_string(),
            attempts: message.attempts,
            fate,
            due,
            time,
            said,
        }
    }
}

/// Lists messages of a webhook, the newest first: those that wait, and the last fifty of those that arrived or were
/// given up.
#[utoipa::path(get, path = "/api/v1/webhooks/{id}/messages", params(("id" = i64, Path), MessageQuery),
    tag = "webhooks",
    responses((status = 200, body = MessageList),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Path(id): Path,
    Query(query): Query<MessageQuery>,
) -> Result<Json<MessageList>, Problem> {
    let before = query.after.map(OperationId::new);
    let (found, next) = steps::messages(&app, &id, before, limit(query.limit)?).await?;
    Ok(Json(MessageList {
        messages: found.into_iter().map(Into::into).collect(),
        next: next.map(OperationId::get),
    }))
}
