//! The auditor's bundle of a request.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use disinherit_audit::{Bundle, BundleOptions};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::body::number;
use crate::app::App;
use crate::problem::Problem;
use crate::query::{Path, Query};
use crate::reply::attached;

/// What is wanted in it.
#[derive(Debug, Default, Clone, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct BundleQuery {
    /// Whether the entries of the log that concern others and lie between those of the request are in it.
    pub(crate) whole_chain: bool,
}

/// Everything that proves what was done: the certificate, the report, the log's entries, digests, and how all of it is
/// checked offline.
#[utoipa::path(get, path = "/api/v1/requests/{id}/bundle", params(("id" = i64, Path), BundleQuery), tag = "requests",
    responses((status = 200, description = "A ZIP archive", body = Vec<u8>, content_type = "application/zip"),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn bundle(
    State(app): State<Arc<App>>,
    Path(id): Path,
    Query(query): Query<BundleQuery>,
) -> Result<Response, Problem> {
    let id = number(&id)?;
    let options = BundleOptions {
        whole_chain: query.whole_chain,
    };
    let archive = app.at_desk("", move |desk, _| {
        Ok(Bundle::new(desk, id, options)?.to_zip()?)
    });
    let kind = [(header::CONTENT_TYPE, "application/zip")];
    let answer = (kind, archive.await?).into_response();
    Ok(attached(answer, &format!("request-{id}.zip")))
}
