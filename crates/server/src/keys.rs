//! Keys of calls that may be made again: `Idempotency-Key`. A call under a key is done once, and its answer
//! given again for a day.

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use disinherit::registry::KeptAnswer;
use sha2::{Digest, Sha256};

use crate::app::{App, Caller};
use crate::identity::hexadecimal;
use crate::problem::Problem;

/// The header.
const HEADER: &str = "idempotency-key";

/// The longest key.
const LONGEST: usize = 200;

/// Answers a call under a key from what was answered before.
pub(crate) async fn once(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    request: Request,
    next: Next,
) -> Response {
    let key = request.headers().get(HEADER).cloned();
    let (Some(key), Some(caller), &Method::POST) = (key, caller, request.method()) else {
        return next.run(request).await;
    };
    match keyed(&app, &caller, &key, request, next).await {
        Ok(answer) => answer,
        Err(problem) => problem.into_response(),
    }
}

async fn keyed(
    app: &Arc<App>,
    caller: &Caller,
    key: &HeaderValue,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if key.is_empty() || key.len() > LONGEST {
        return Err(Problem::bad(format!("a key has 1 to {LONGEST} characters")));
    }
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, app.settings.largest_body)
        .await
        .map_err(|_| too_large())?;
    let name = digest(&[caller.identity.as_bytes(), key.as_bytes()]);
    let asked = digest(&[parts.uri.path().as_bytes(), &body]);
    let (own, digest) = (name.clone(), asked.clone());
    let known = app
        .read(move |registry| Ok(registry.claim_answer(&own, &digest)?))
        .await?;
    match known {
        KeptAnswer::New => {}
        KeptAnswer::Open { asked: before } | KeptAnswer::Given { asked: before, .. }
            if before != asked =>
        {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            let detail = "another call was made under this key";
            return Err(Problem::new(status, "/problems/key-reused", detail));
        }
        KeptAnswer::Open { .. } => {
            let detail = "a call under this key has no answer yet, or was cut off";
            return Err(Problem::conflict(detail).with_hint("look whether it was done"));
        }
        KeptAnswer::Given { status, body, .. } => return Ok(again(status, body)),
    }
    let answer = next.run(Request::from_parts(parts, Body::from(body))).await;
    keep(app, name, answer).await
}

async fn keep(app: &Arc<App>, name: String, answer: Response) -> Result<Response, Problem> {
    let (parts, body) = answer.into_parts();
    let body = to_bytes(body, usize::MAX)
        .await
        .map_err(|error| Problem::fault(&error))?;
    let (status, text) = (
        parts.status.as_u16(),
        String::from_utf8_lossy(&body).into_owned(),
    );
    app.read(move |registry| Ok(registry.keep_answer(&name, status, &text)?))
        .await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn again(status: u16, body: String) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let mut answer = (status, Bytes::from(body)).into_response();
    let kind = match status.is_success() {
        true => "application/json",
        false => "application/problem+json",
    };
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
    answer
}

/// A digest over parts, each with its length before it.
fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hexadecimal(&hash.finalize())
}

pub(crate) fn too_large() -> Problem {
    let status = StatusCode::PAYLOAD_TOO_LARGE;
    Problem::new(
        status,
        "/problems/too-large",
        "the body is larger than this server takes",
    )
}
