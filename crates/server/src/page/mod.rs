//! The page: written by the server, with no script.

mod frame;
mod log;
mod models;
mod new;
mod request;
mod requests;
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
        .route("/requests/{id}/comment", post(request::comment))
        .route("/requests/{id}/plan", post(request::plan))
        .route("/requests/{id}/approve", post(request::approve))
        .route("/requests/{id}/reject", post(request::reject))
        .route("/requests/{id}/extend", post(request::extend))
        .route("/requests/{id}/run", post(request::run))
        .route("/requests/{id}/verify", post(request::verify))
        .route("/requests/{id}/certify", post(request::certify))
        .route("/requests/{id}/purge", post(request::purge))
        .route("/requests/{id}/close", post(request::close))
        .route("/models", get(models::show))
        .route("/log", get(log::show))
        .route("/sign-in", get(sign_in::show).post(sign_in::send))
        .route("/sign-out", post(sign_in::leave))
}

/// The style of all pages.
pub(crate) async fn style() -> Response {
    let kind = "text/css; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], include_str!("style.css")).into_response()
}
