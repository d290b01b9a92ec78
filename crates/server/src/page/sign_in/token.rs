//! Signing in with a token.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::form::form;
use crate::app::App;
use crate::audit::Call;
use crate::cookies::Cookie;
use crate::destination::Destination;
use crate::guard::{denied, identified};
use crate::identity::Carrier;
use crate::page::form::Form;
use crate::peer::Peer;
use crate::problem::Problem;

/// The longest token that fits into a cookie.
const LONGEST: usize = 3800;

#[derive(Deserialize)]
pub(in crate::page) struct Signing {
    token: String,
    #[serde(default)]
    to: String,
}

/// The token becomes a cookie that only this server gets, and no script can read.
pub(in crate::page) async fn send(
    State(app): State<Arc<App>>,
    Extension(call): Extension<Call>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    Form(signing): Form<Signing>,
) -> Response {
    // Where this server or a proxy speaks TLS, the cookie goes over TLS only.
    let tls = peer.is_some_and(|peer| peer.tls);
    let forwarded = headers.get("x-forwarded-proto");
    let secure = tls || forwarded.is_some_and(|scheme| scheme == "https");
    let secret = signing.token.trim().to_owned();
    let to = Destination::read(&signing.to);
    let known = identified(&app, &call, Some(&secret), Carrier::Page).await;
    match known.and_then(|caller| fits(&secret).map(|()| caller)) {
        Ok(caller) => {
            app.audit.signed_in(&call, &caller);
            let mut answer = Redirect::to(to.as_str()).into_response();
            Cookie::session(&secret, secure).set_on(&mut answer);
            answer
        }
        Err(error) => {
            denied(&app, &call, None, &error);
            let mut page = form(&app, &to, Some(&error));
            *page.status_mut() =
                StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
            page
        }
    }
}

/// Refuses what does not go into a cookie: tokens of the registry do, and signed ones that are not too long for browsers.
pub(super) fn fits(secret: &str) -> Result<(), Problem> {
    let plain = secret
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    match plain && secret.len() <= LONGEST {
        true => Ok(()),
        false => Err(Problem::bad("this token is too long for a browser")
            .with_hint("programs can use it; ask for one with fewer claims")),
    }
}
