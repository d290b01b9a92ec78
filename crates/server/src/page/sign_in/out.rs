//! Signing out.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;
use url::Url;

use super::form::framed;
use crate::app::App;
use crate::cookies::{Cookie, SESSION, cookie};
use crate::identity::is_registrys;

/// Takes the cookie away. Who came through the issuer is still known there, and is told where to sign out of it.
pub(in crate::page) async fn leave(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    let through = cookie(&headers, SESSION).is_some_and(|token| !is_registrys(&token));
    let issuer = app.issuer.as_ref().filter(|_| through);
    let mut answer = match issuer.and_then(|issuer| issuer.way_out()) {
        Some(way) => signed_out(&way),
        None => Redirect::to("/sign-in").into_response(),
    };
    Cookie::no_session().set_on(&mut answer);
    answer
}

fn signed_out(way: &Url) -> Response {
    let host = way.host_str().unwrap_or_default();
    framed(
        "Signed out",
        &html! {
            h1 { "Signed out" }
            p { "You are signed out here. " (host) " may still know who you are, and let you in again without a question." }
            p { a.button href=(way) { "Sign out of " (host) " too" } }
            p { a href="/sign-in" { "Sign in again" } }
        },
    )
}
