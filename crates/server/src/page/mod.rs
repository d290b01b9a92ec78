//! The page: written by the server, with no script.

mod calls;
mod form;
mod frame;
mod links;
mod log;
mod models;
mod multipart;
mod new;
mod request;
mod requests;
mod scope;
mod settings;
mod sign_in;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use crate::app::App;

/// All pages and forms.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(requests::show))
        .route("/new", get(new::show).post(new::send))
        .route("/requests/{id}", get(request::show))
        .route("/requests/{id}/comment", post(request::steps::comment))
        .route("/requests/{id}/plan", post(request::steps::plan))
        .route("/requests/{id}/approve", post(request::steps::approve))
        .route("/requests/{id}/reject", post(request::steps::reject))
        .route("/requests/{id}/extend", post(request::steps::extend))
        .route("/requests/{id}/run", post(request::steps::run))
        .route("/requests/{id}/cancel", post(request::steps::cancelled))
        .route("/requests/{id}/verify", post(request::steps::verify))
        .route("/requests/{id}/certify", post(request::steps::certify))
        .route("/requests/{id}/purge", post(request::steps::purge))
        .route("/requests/{id}/close", post(request::steps::close))
        .route("/requests/{id}/report", get(request::report))
        .route("/models", get(models::show))
        .route("/models/{id}", get(models::one))
        .route("/settings", get(settings::show))
        .route("/settings/tokens", post(settings::new_token))
        .route("/settings/tokens/{id}/revoke", post(settings::revoke))
        .route("/settings/webhooks", post(settings::new_webhook))
        .route("/settings/webhooks/{id}/test", post(settings::test))
        .route("/settings/webhooks/{id}/pause", post(settings::pause))
        .route("/settings/webhooks/{id}/resume", post(settings::resume))
        .route("/settings/webhooks/{id}/remove", post(settings::remove))
        .route("/settings/four-eyes", post(settings::four_eyes))
        .route("/settings/retention", post(settings::retention))
        .route("/log", get(log::show))
        .route("/api", get(calls::show))
        .route("/sign-in", get(sign_in::show).post(sign_in::send))
        .route("/sign-in/issuer", get(sign_in::begin))
        .route("/sign-in/callback", get(sign_in::end))
        .route("/sign-out", post(sign_in::leave))
}

/// The style of all pages.
pub(crate) async fn style() -> Response {
    let kind = "text/css; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], frame::style()).into_response()
}
