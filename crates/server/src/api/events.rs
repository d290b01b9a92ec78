//! What happens, as a stream of server-sent events.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::response::Response;
use disinherit::registry::OperationId;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::requests::{known, one};
use crate::app::{App, Caller};
use crate::events::stream::{Wanted, open};
use crate::problem::Problem;
use crate::query::{Path, Query};

/// The header with which a browser comes again.
const SEEN: &str = "last-event-id";

/// From where on.
#[derive(Debug, Default, Clone, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventQuery {
    /// The last operation that was seen: what came after it is told first. `Last-Event-ID` says the same.
    after: Option<i64>,
}

impl EventQuery {
    fn seen(&self, headers: &HeaderMap) -> Result<Option<OperationId>, Problem> {
        let after = match headers.get(SEEN) {
            None => self.after,
            Some(text) => {
                let number = text.to_str().ok().and_then(|text| text.trim().parse().ok());
                let wrong = || Problem::bad("`Last-Event-ID` must be the id of an event");
                Some(number.ok_or_else(wrong)?)
            }
        };
        match after {
            Some(number) if number < 0 => Err(Problem::bad("an operation has a number from 1 on")),
            after => Ok(after.map(OperationId::new)),
        }
    }
}

/// Tells what happens to all requests: `step` for every step, with its operation as the event's id, and `job`
/// for what jobs say of themselves.
#[utoipa::path(get, path = "/api/v1/events", tag = "events",
    params(EventQuery, ("last-event-id" = Option<i64>, Header, description = "The last event that was seen")),
    responses((status = 200, content_type = "text/event-stream", body = String),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json",
            description = "As many streams are open as the server allows")))]
pub(crate) async fn all(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    Query(query): Query<EventQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wanted = Wanted {
        request: None,
        after: query.seen(&headers)?,
        token: known(caller)?.token,
    };
    open(app, wanted).await
}

/// Tells what happens to a request.
#[utoipa::path(get, path = "/api/v1/requests/{id}/events", tag = "events",
    params(("id" = i64, Path), EventQuery,
        ("last-event-id" = Option<i64>, Header, description = "The last event that was seen")),
    responses((status = 200, content_type = "text/event-stream", body = String),
        (status = "4XX", body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json",
            description = "As many streams are open as the server allows")))]
pub(crate) async fn of_request(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    Path(id): Path,
    Query(query): Query<EventQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let wanted = Wanted {
        request: Some(one(&app, &id).await?.id),
        after: query.seen(&headers)?,
        token: known(caller)?.token,
    };
    open(app, wanted).await
}
