//! Signing in with a token, and out.

use std::sync::Arc;

use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;
use serde::Deserialize;

use super::frame::{Frame, problem, told};
use crate::app::App;
use crate::guard::{COOKIE, caller};
use crate::problem::Problem;

#[derive(Deserialize)]
pub(super) struct Signing {
    token: String,
}

pub(super) async fn show() -> Response {
    form(None)
}

fn form(error: Option<&Problem>) -> Response {
    let frame = Frame {
        title: "Sign in",
        at: "",
        caller: None,
        changing: false,
    };
    frame.around(&html! {
        h1 { "Sign in" }
        @if let Some(error) = error { (told(error)) }
        form method="post" action="/sign-in" {
            label for="token" { "Token" }
            input id="token" name="token" type="password" autocomplete="current-password" required aria-describedby="token-hint";
            p.hint id="token-hint" { "Administrators make them, under Settings or with " code { "disinherit token new" } ". The demonstration prints one where it was started." }
            button.main type="submit" { "Sign in" }
        }
    })
}

/// The token becomes a cookie that only this server gets, and no script can read.
pub(super) async fn send(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Form(signing): Form<Signing>,
) -> Response {
    // Where a proxy says that it speaks TLS, the cookie goes over TLS only.
    let forwarded = headers.get("x-forwarded-proto");
    let secure = match forwarded.is_some_and(|scheme| scheme == "https") {
        true => "; Secure",
        false => "",
    };
    let secret = signing.token.trim().to_owned();
    let plain = !secret.is_empty()
        && secret
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let known = match plain {
        true => caller(&app, &secret).await,
        false => Ok(None),
    };
    match known {
        Ok(Some(_)) => with_cookie(
            Redirect::to("/"),
            &format!("{COOKIE}={secret}; Max-Age=43200{secure}"),
        ),
        Ok(None) => {
            app.metrics.denied();
            tracing::warn!("denied: a token that does not hold");
            let status = StatusCode::UNAUTHORIZED;
            let detail = "This token is not known, has expired, or was revoked.";
            let error = Problem::new(status, "/problems/unauthorized", detail);
            let mut page = form(Some(&error));
            *page.status_mut() = status;
            page
        }
        Err(error) => problem(None, &error),
    }
}

pub(super) async fn leave() -> Response {
    with_cookie(Redirect::to("/sign-in"), &format!("{COOKIE}=; Max-Age=0"))
}

fn with_cookie(to: Redirect, cookie: &str) -> Response {
    let mut answer = to.into_response();
    let cookie = format!("{cookie}; Path=/; HttpOnly; SameSite=Strict");
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    answer
}
