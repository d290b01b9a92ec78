//! Which call is answered by what.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use disinherit::model::now;
use tower_http::timeout::TimeoutLayer;

use crate::app::{App, Executor};
use crate::described;
use crate::problem::Problem;
use crate::quota::body;
use crate::{guard, keys, page};

/// How long a call may take. What takes longer is a job.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(120);

/// Everything, behind the door.
pub(crate) fn router(app: Arc<App>) -> Router {
    let (api, description) = described::api().split_for_parts();
    let api = api.layer(from_fn_with_state(Arc::clone(&app), keys::once));
    let text = description.to_json().unwrap_or_default();
    let described = move || async move { ([(header::CONTENT_TYPE, "application/json")], text) };
    let timeout = TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, LONGEST);
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/api/v1/openapi.json", get(described))
        .merge(api)
        .merge(page::routes())
        .route("/style.css", get(page::style))
        .method_not_allowed_fallback(|| async {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            Problem::new(status, "/problems/method", "this cannot be called so")
        })
        .route_layer(from_fn_with_state(Arc::clone(&app), body::whole))
        .route_layer(from_fn_with_state(Arc::clone(&app), guard::guard))
        .fallback(|| async { Problem::missing("nothing is here") })
        .layer(DefaultBodyLimit::max(app.settings.largest_body))
        .layer(timeout)
        .layer(from_fn(guard::headers))
        .with_state(app)
}

/// Ready when the registry answers.
async fn ready(State(app): State<Arc<App>>) -> Response {
    let stopping = app.is_stopping();
    let answers = app
        .read(|registry| Ok(registry.asks_for_four_eyes()?))
        .await;
    match (stopping, answers) {
        // Calls are answered, and jobs can be filed: that they wait is no reason to send callers elsewhere.
        (false, Ok(_)) if app.is_without_worker() => {
            "ready\njobs wait: their worker does not run, the log says why\n".into_response()
        }
        (false, Ok(_)) => "ready\n".into_response(),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response(),
    }
}

async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let read = app.read(|registry| {
        Ok((
            registry.erasure_counts()?,
            registry.overdue_erasures(now())?,
        ))
    });
    let (states, overdue) = read.await?;
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    let streams = app.feed.open();
    let program = matches!(app.settings.executor, Executor::Program(_));
    let worker = program.then(|| !app.is_without_worker());
    let text = app.metrics.text(&states, overdue, streams, worker);
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
