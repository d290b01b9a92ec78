//! Queries and paths of calls.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// A part of the path of a call, with a problem where it is no text.
pub(crate) struct Path(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Path {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = axum::extract::Path::<String>::from_request_parts(parts, state).await;
        let wrong = |_| Problem::missing("no part of the path can be read so");
        read.map(|axum::extract::Path(text)| Self(text))
            .map_err(wrong)
    }
}

/// The query of a call, with a problem where it cannot be read.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        let axum::extract::Query(query) = read.map_err(|error| Problem::bad(error.body_text()))?;
        Ok(Self(query))
    }
}
