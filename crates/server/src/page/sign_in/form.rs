//! The page on which somebody signs in.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use serde::Deserialize;
use url::Url;

use crate::app::App;
use crate::destination::Destination;
use crate::page::frame::{Frame, told};
use crate::problem::Problem;
use crate::query::Query;

/// The way through the issuer.
const THROUGH: &str = "/sign-in/issuer";

/// Where a visitor wants to go.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::page) struct Wanted {
    to: String,
}

pub(in crate::page) async fn show(
    State(app): State<Arc<App>>,
    Query(wanted): Query<Wanted>,
) -> Response {
    form(&app, &Destination::read(&wanted.to), None)
}

/// The form, with what went wrong before.
pub(super) fn form(app: &App, to: &Destination, error: Option<&Problem>) -> Response {
    let issuer = app.issuer.as_ref();
    let issuer = issuer.filter(|issuer| issuer.sign_in().is_some());
    framed(
        "Sign in",
        &html! {
            h1 { "Sign in" }
            @if let Some(error) = error { (told(error)) }
            @if let Some(issuer) = issuer {
                p { a.button.main href=(to.after(THROUGH)) { "Sign in with " (host(issuer.url())) } }
                h2 { "With a token" }
            }
            (token(to, issuer.is_none()))
        },
    )
}

/// A page for visitors who have not signed in.
pub(super) fn framed(title: &str, body: &Markup) -> Response {
    let frame = Frame {
        title,
        at: "",
        caller: None,
        changing: false,
    };
    frame.around(body)
}

/// A link to the issuer, which asks again who the visitor is.
pub(super) fn again() -> Markup {
    html! { a href={ (THROUGH) "?again=true" } { "Sign in as somebody else" } }
}

fn token(to: &Destination, alone: bool) -> Markup {
    html! {
        form method="post" action="/sign-in" {
            label for="token" { "Token" }
            input id="token" name="token" type="password" autocomplete="current-password" required aria-describedby="token-hint";
            @if *to != Destination::default() { input type="hidden" name="to" value=(to); }
            p.hint id="token-hint" { "Administrators make them, under Settings or with " code { "disinherit token new" } ". The demonstration prints one where it was started." }
            button class=[alone.then_some("main")] type="submit" { "Sign in" }
        }
    }
}

/// The issuer as people know it.
fn host(issuer: &str) -> String {
    let url = Url::parse(issuer).ok();
    let host = url.as_ref().and_then(Url::host_str);
    host.unwrap_or(issuer).to_owned()
}
