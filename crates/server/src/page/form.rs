//! Forms as browsers send them, with a page that says what is wrong where one cannot be read.

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::de::DeserializeOwned;
use url::form_urlencoded::Serializer;

use super::frame::problem;
use super::multipart;
use crate::app::Caller;
use crate::keys::too_large;
use crate::problem::Problem;

/// How forms without files are written.
const ENCODED: &str = "application/x-www-form-urlencoded";

/// A form.
pub(super) struct Form<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Form<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let caller = request.extensions().get::<Option<Caller>>().cloned();
        let caller = caller.flatten();
        match read(request, state).await {
            Ok(form) => Ok(Self(form)),
            Err(error) => Err(problem(caller.as_ref(), &error)),
        }
    }
}

async fn read<T: DeserializeOwned>(
    request: Request,
    state: &(impl Send + Sync),
) -> Result<T, Problem> {
    let (mut parts, body) = request.into_parts();
    let kind = parts.headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    // It was read already, as far as the server takes it.
    let mut body = to_bytes(body, usize::MAX).await.map_err(|_| too_large())?;
    if let Some(boundary) = multipart::boundary(kind) {
        // From here on a file is a field like the others.
        let fields = multipart::fields(&body, boundary).map_err(Problem::bad)?;
        body = Serializer::new(String::new())
            .extend_pairs(fields)
            .finish()
            .into();
        let encoded = HeaderValue::from_static(ENCODED);
        parts.headers.insert(header::CONTENT_TYPE, encoded);
    } else if !kind.starts_with(ENCODED) {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        let detail = "this is not sent as forms are";
        return Err(Problem::new(status, "/problems/media-type", detail));
    }
    let request = Request::from_parts(parts, Body::from(body));
    let form = axum::Form::<T>::from_request(request, state).await;
    let wrong =
        |_| Problem::bad("the form cannot be read: a field is missing, or has another kind");
    form.map(|axum::Form(form)| form).map_err(wrong)
}
