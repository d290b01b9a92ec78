//! Bodies and numbers of calls, read with problems that say what is wrong.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use disinherit::registry::{ErasureId, OperationId};
use serde::de::DeserializeOwned;

use crate::keys::too_large;
use crate::problem::Problem;

/// A JSON body.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_json = kind
            .split(';')
            .next()
            .is_some_and(|kind| kind.trim() == "application/json");
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|_| too_large())?;
        // A step that needs no words may come without any.
        let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        if !is_json && !bytes.is_empty() {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            let detail = "the body must be application/json";
            return Err(Problem::new(status, "/problems/media-type", detail));
        }
        // A list would be read as the fields in their order.
        if text.trim_ascii_start().first() != Some(&b'{') {
            return Err(Problem::bad("the body must be a JSON object"));
        }
        let read = serde_json::from_slice(text);
        read.map(Self)
            .map_err(|error| Problem::bad(format!("the body cannot be read: {error}")))
    }
}

/// A number in a path.
pub(crate) fn positive(text: &str) -> Option<i64> {
    text.parse::<i64>().ok().filter(|number| *number > 0)
}

/// The number of a request in a path.
pub(crate) fn number(text: &str) -> Result<ErasureId, Problem> {
    let number = positive(text);
    let missing = || Problem::missing("no request has this number");
    number.map(ErasureId::new).ok_or_else(missing)
}

/// The revision that the caller has seen: `If-Match` with the request's ETag.
pub(crate) fn seen(headers: &HeaderMap) -> Result<Option<OperationId>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let number = text.trim_matches('"').parse::<i64>();
    let wrong = || Problem::bad("`If-Match` must be the ETag of the request");
    number
        .map(|number| Some(OperationId::new(number)))
        .map_err(|_| wrong())
}
