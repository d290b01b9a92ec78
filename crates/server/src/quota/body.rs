//! Bodies of calls, read whole, in time, and no longer than the server takes.

use std::sync::Arc;

use axum::body::{Body, BodyDataStream};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use tokio::time::{Instant, timeout_at};

use crate::app::App;
use crate::keys::too_large;
use crate::problem::Problem;

/// How much is read of what a body has beyond the limit, in bytes.
const BEYOND: usize = 64 << 20;

/// Reads the body before the call is answered.
pub(crate) async fn whole(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let settings = &app.settings;
    let (parts, body) = request.into_parts();
    let mut pieces = body.into_data_stream();
    let end = Instant::now() + settings.limits.body_time;
    match timeout_at(end, read(&mut pieces, settings.largest_body)).await {
        Ok(Some(body)) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Ok(None) => {
            // A client that is still sending would miss the answer: the connection would be closed on it.
            let _ = timeout_at(end, drop_rest(&mut pieces)).await;
            too_large().into_response()
        }
        Err(_) => {
            let detail = "the body of this call did not come in time";
            let status = StatusCode::REQUEST_TIMEOUT;
            Problem::new(status, "/problems/timeout", detail).into_response()
        }
    }
}

/// A whole body; nothing where it is longer than `most` bytes, or breaks off.
async fn read(pieces: &mut BodyDataStream, most: usize) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece.ok()?;
        if piece.len() > most - body.len() {
            return None;
        }
        body.extend_from_slice(&piece);
    }
    Some(body)
}

/// Reads what is left of a body, as far as [`BEYOND`], and keeps nothing.
async fn drop_rest(pieces: &mut BodyDataStream) {
    let mut left = BEYOND;
    while let Some(Ok(piece)) = pieces.next().await {
        left = left.saturating_sub(piece.len());
        if left == 0 {
            return;
        }
    }
}
