//! Bodies of calls, read whole, in time, and no longer than the server takes.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::app::App;
use crate::keys::too_large;
use crate::problem::Problem;

/// Reads the body before the call is answered.
pub(crate) async fn whole(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let settings = &app.settings;
    let (parts, body) = request.into_parts();
    let read = to_bytes(body, settings.largest_body);
    match tokio::time::timeout(settings.limits.body_time, read).await {
        Ok(Ok(body)) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Ok(Err(_)) => too_large().into_response(),
        Err(_) => {
            let detail = "the body of this call did not come in time";
            let status = StatusCode::REQUEST_TIMEOUT;
            Problem::new(status, "/problems/timeout", detail).into_response()
        }
    }
}
