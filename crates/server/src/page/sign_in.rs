//! Signing in with a token, and out.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;
use serde::Deserialize;

use super::frame::{Frame, told};
use crate::app::App;
use crate::audit::Call;
use crate::guard::{COOKIE, denied, identified};
use crate::peer::Peer;
use crate::problem::Problem;

/// The longest token that fits into a cookie.
const LONGEST: usize = 3800;

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
    Extension(call): Extension<Call>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    Form(signing): Form<Signing>,
) -> Response {
    // Where this server or a proxy speaks TLS, the cookie goes over TLS only.
    let tls = peer.is_some_and(|peer| peer.tls);
    let forwarded = headers.get("x-forwarded-proto");
    let secure = match tls || forwarded.is_some_and(|scheme| scheme == "https") {
        true => "; Secure",
        false => "",
    };
    let secret = signing.token.trim().to_owned();
    // What goes into a cookie: tokens of the registry, and signed ones that are not too long for browsers.
    let plain = secret.len() <= LONGEST
        && secret
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    let known = match identified(&app, &call, Some(&secret)).await {
        Ok(_) if !plain => Err(Problem::bad("this token is too long for a browser")
            .with_hint("programs can use it; ask for one with fewer claims")),
        known => known,
    };
    match known {
        Ok(caller) => {
            app.audit.signed_in(&call, &caller);
            with_cookie(
                Redirect::to("/"),
                &format!("{COOKIE}={secret}; Max-Age=43200{secure}"),
            )
        }
        Err(error) => {
            denied(&app, &call, None, &error);
            let mut page = form(Some(&error));
            *page.status_mut() =
                StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
            page
        }
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
