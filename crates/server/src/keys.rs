//! Keys of calls that may be made again: `Idempotency-Key`. A call under a key is done once, and its answer
//! given again for a day; one that failed here is done again.

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Extension, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use disinherit::registry::KeptAnswer;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::app::{App, Caller};
use crate::identity::hexadecimal;
use crate::problem::Problem;

/// The header.
const HEADER: &str = "idempotency-key";

/// The longest key.
const LONGEST: usize = 200;

/// The headers that are given again; those of the connection and of the door are made anew.
const TOLD: [HeaderName; 3] = [header::CONTENT_TYPE, header::ETAG, header::LOCATION];

/// An answer as it is kept, without its status.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    headers: Vec<(String, String)>,
    body: String,
}

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
    if !(1..=LONGEST).contains(&key.len()) || key.to_str().is_err() {
        let wrong = format!("a key has 1 to {LONGEST} printable ASCII characters");
        return Err(Problem::bad(wrong));
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
        KeptAnswer::Given { status, body, .. } => return Ok(again(status, &body)),
    }
    let answer = next.run(Request::from_parts(parts, Body::from(body))).await;
    keep(app, name, answer).await
}

async fn keep(app: &Arc<App>, name: String, answer: Response) -> Result<Response, Problem> {
    // What failed here says nothing of the call: it may go well the next time.
    if answer.status().is_server_error() {
        app.read(move |registry| Ok(registry.release_answer(&name)?))
            .await?;
        return Ok(answer);
    }
    let (parts, body) = answer.into_parts();
    let body = to_bytes(body, usize::MAX)
        .await
        .map_err(|error| Problem::fault(&error))?;
    let kept = Kept {
        headers: told(&parts.headers),
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let text = serde_json::to_string(&kept).map_err(|error| Problem::fault(&error))?;
    let status = parts.status.as_u16();
    app.read(move |registry| Ok(registry.keep_answer(&name, status, &text)?))
        .await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn told(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |name: &HeaderName| {
        let value = headers.get(name)?.to_str().ok()?;
        Some((name.to_string(), value.to_owned()))
    };
    TOLD.iter().filter_map(text).collect()
}

fn again(status: u16, kept: &str) -> Response {
    // Versions before kept the body alone.
    let kept = serde_json::from_str(kept).unwrap_or_else(|_| Kept {
        headers: vec![("content-type".to_owned(), before_headers(status).to_owned())],
        body: kept.to_owned(),
    });
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
    let mut answer = (status, Bytes::from(kept.body)).into_response();
    let headers = answer.headers_mut();
    for (name, value) in &kept.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.insert(name, value);
        }
    }
    headers.insert("idempotent-replayed", HeaderValue::from_static("true"));
    answer
}

/// What an answer without headers of its own is written in.
fn before_headers(status: u16) -> &'static str {
    match status {
        200..300 => "application/json",
        _ => "application/problem+json",
    }
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
