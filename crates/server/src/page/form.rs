//! Forms as browsers send them, with a page that says what is wrong where one cannot be read.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use axum::response::Response;
use serde::de::DeserializeOwned;
use url::form_urlencoded::Serializer;

use super::frame::problem;
use super::multipart;
use crate::app::Caller;
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
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let no_form = || {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        let detail = "this is not sent as forms are";
        Problem::new(status, "/problems/media-type", detail)
    };
    let request = if kind.starts_with(multipart::KIND) {
        // From here on a file is a field like the others.
        let fields = multipart::fields(request, state).await?;
        let fields = fields.ok_or_else(no_form)?;
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        let encoded = Request::post("/").header(header::CONTENT_TYPE, ENCODED);
        let encoded = encoded.body(Body::from(body));
        encoded.map_err(|error| Problem::fault(&error))?
    } else if kind.starts_with(ENCODED) {
        request
    } else {
        return Err(no_form());
    };
    let form = axum::Form::<T>::from_request(request, state).await;
    let wrong =
        |_| Problem::bad("the form cannot be read: a field is missing, or has another kind");
    form.map(|axum::Form(form)| form).map_err(wrong)
}
