//! Which call is answered by what.

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use disinherit::model::now;
use disinherit::registry::{ErasureOrder, ErasurePage};
use tower_http::timeout::TimeoutLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::list::MOST;
use crate::api::{bundle, events, log, messages, models, requests, steps, webhooks};
use crate::app::App;
use crate::problem::Problem;
use crate::quota::body;
use crate::{guard, keys, page};

/// How long a call may take. What takes longer is a job.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(120);

/// The description of the service.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "disinherit",
        description = "Erasure requests for machine learning models, from their arrival to the purge. Every call but \
                       this one needs a bearer token."
    ),
    security(("token" = [])),
    modifiers(&Tokens)
)]
struct Description;

struct Tokens;

impl utoipa::Modify for Tokens {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("token", scheme);
    }
}

/// The description of the service, OpenAPI 3.1, from its code.
pub fn description() -> utoipa::openapi::OpenApi {
    api().split_for_parts().1
}

fn api() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(requests::list, requests::file))
        .routes(routes!(requests::preview))
        .routes(routes!(requests::show))
        .routes(routes!(requests::jobs))
        .routes(routes!(events::of_request))
        .routes(routes!(events::all))
        .routes(routes!(requests::scope))
        .routes(routes!(requests::history))
        .routes(routes!(requests::verdicts))
        .routes(routes!(requests::certificate))
        .routes(routes!(bundle::bundle))
        .routes(routes!(steps::comment))
        .routes(routes!(steps::plan))
        .routes(routes!(steps::approve))
        .routes(routes!(steps::reject))
        .routes(routes!(steps::extend))
        .routes(routes!(steps::run))
        .routes(routes!(steps::cancel))
        .routes(routes!(steps::verify))
        .routes(routes!(steps::certify))
        .routes(routes!(steps::purge))
        .routes(routes!(steps::close))
        .routes(routes!(models::list))
        .routes(routes!(log::list))
        .routes(routes!(webhooks::list, webhooks::add))
        .routes(routes!(messages::list))
        .routes(routes!(webhooks::test))
        .routes(routes!(webhooks::pause))
        .routes(routes!(webhooks::resume))
        .routes(routes!(webhooks::remove))
}

/// Everything, behind the door.
pub(crate) fn router(app: Arc<App>) -> Router {
    let (api, description) = api().split_for_parts();
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
        (false, Ok(_)) => "ready\n".into_response(),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response(),
    }
}

async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let overdue = ErasurePage {
        due_before: Some(now()),
        limit: MOST,
        order: ErasureOrder::Deadline,
        ..ErasurePage::default()
    };
    let read =
        app.read(move |registry| Ok((registry.erasure_counts()?, registry.erasures(&overdue)?)));
    let (states, overdue) = read.await?;
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    let streams = app.feed.open();
    let text = app.metrics.text(&states, overdue.len(), streams);
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}
