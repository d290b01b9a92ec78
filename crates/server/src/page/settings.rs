//! What administrators decide: who may come in, four eyes, how long replaced versions are kept.

use std::sync::Arc;

use axum::Form;
use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use disinherit::model::now;
use disinherit::registry::AccessToken;
use disinherit_audit::{day, time};
use maud::{Markup, html};
use serde::Deserialize;

use super::frame::{Frame, problem, told};
use crate::api::requests::known;
use crate::app::{App, Caller};
use crate::identity::{Made, make_token};
use crate::problem::Problem;
use crate::rights::Role;
use crate::when::DAY;

/// For how many days a token holds where nothing is said, and at most.
const USUAL: u64 = 90;
const LONGEST: u64 = 3650;

/// A token that is to be made.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(super) struct NewToken {
    name: String,
    role: String,
    days: String,
}

/// A switch.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Switch {
    /// `on` or `off`.
    to: String,
}

/// How long replaced versions are kept.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Keep {
    /// Days; no end where empty.
    days: String,
}

/// What the settings are.
struct Settings {
    tokens: Vec<AccessToken>,
    four_eyes: bool,
    retention: Option<String>,
}

/// What has just happened.
enum News<'a> {
    None,
    Made(&'a Made),
    Failed(&'a Problem),
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
) -> Response {
    page(&app, caller, News::None).await
}

/// Makes a token, and shows its secret this once.
pub(super) async fn new_token(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    Form(new): Form<NewToken>,
) -> Response {
    match made(&app, caller.clone(), new).await {
        Ok(made) => page(&app, caller, News::Made(&made)).await,
        Err(error) => page(&app, caller, News::Failed(&error)).await,
    }
}

async fn made(app: &Arc<App>, caller: Option<Caller>, new: NewToken) -> Result<Made, Problem> {
    let by = known(caller)?.name;
    let role: Role = new.role.parse().map_err(Problem::bad)?;
    let days = number_of_days(&new.days, USUAL)?;
    let name = new.name.trim().to_owned();
    app.read(move |registry| {
        let made = make_token(registry, &by, &name, role, days * DAY);
        made.map_err(|error| Problem::bad(error.to_string()))
    })
    .await
}

fn number_of_days(text: &str, usual: u64) -> Result<u64, Problem> {
    let days = match text.trim() {
        "" => Some(usual),
        text => text.parse::<u64>().ok(),
    };
    let wrong = || Problem::bad(format!("`{text}` is no number of days from 1 to {LONGEST}"));
    days.filter(|days| (1..=LONGEST).contains(days))
        .ok_or_else(wrong)
}

/// Revokes a token: it is denied from the next call on.
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    Path(id): Path<String>,
) -> Response {
    let missing = || Problem::missing("there is no such token that holds");
    let revoked = match id.parse::<i64>() {
        Ok(id) => {
            app.read(move |registry| Ok(registry.revoke_token(id)?))
                .await
        }
        Err(_) => Ok(false),
    };
    done(
        &app,
        caller,
        revoked.and_then(|done| done.then_some(()).ok_or_else(missing)),
    )
    .await
}

pub(super) async fn four_eyes(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    Form(switch): Form<Switch>,
) -> Response {
    let set = match switch.to.as_str() {
        "on" | "off" => {
            let asked = switch.to == "on";
            app.read(move |registry| Ok(registry.set_four_eyes(asked)?))
                .await
        }
        other => Err(Problem::bad(format!(
            "four eyes are `on` or `off`, not `{other}`"
        ))),
    };
    done(&app, caller, set).await
}

pub(super) async fn retention(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    Form(keep): Form<Keep>,
) -> Response {
    let days = match keep.days.trim() {
        "" => Ok(None),
        text => number_of_days(text, USUAL).map(Some),
    };
    let set = match days {
        Ok(days) => {
            app.read(move |registry| {
                let days = days.map(|days| format!("{days}d"));
                Ok(registry.set_retention(days.as_deref())?)
            })
            .await
        }
        Err(error) => Err(error),
    };
    done(&app, caller, set).await
}

/// Back to the settings, or the problem on them.
async fn done(app: &Arc<App>, caller: Option<Caller>, set: Result<(), Problem>) -> Response {
    match set {
        Ok(()) => Redirect::to("/settings").into_response(),
        Err(error) => page(app, caller, News::Failed(&error)).await,
    }
}

async fn page(app: &Arc<App>, caller: Option<Caller>, news: News<'_>) -> Response {
    let read = app.read(|registry| {
        Ok(Settings {
            tokens: registry.tokens()?,
            four_eyes: registry.asks_for_four_eyes()?,
            retention: registry.retention()?,
        })
    });
    let settings = match read.await {
        Ok(settings) => settings,
        Err(error) => return problem(caller.as_ref(), &error),
    };
    let frame = Frame {
        title: "Settings",
        at: "/settings",
        caller: caller.as_ref(),
        changing: false,
    };
    let own = caller.as_ref().and_then(|caller| caller.token);
    let mut answer = frame.around(&html! {
        h1 { "Settings" }
        @match news {
            News::None => {}
            News::Made(made) => (secret(made)),
            News::Failed(error) => (told(error)),
        }
        section { h2 { "Tokens" }
            p.soft { "A token is who its holder is in the log, and what they may do. Only its hash is kept." }
            (tokens(&settings.tokens, own))
            (new_form())
        }
        (policies(&settings))
    });
    if let News::Failed(error) = news
        && let Ok(status) = axum::http::StatusCode::from_u16(error.status)
    {
        *answer.status_mut() = status;
    }
    answer
}

/// The secret of a token that was just made.
fn secret(made: &Made) -> Markup {
    html! {
        div.panel.good-news role="status" {
            p { strong { "Token " (made.id) " for " (made.token.name) " (" (made.token.role) ")" } }
            p { code.secret { (made.secret) } }
            p.soft { "Give it to its holder now: it is not shown again. It holds until " (day(made.token.expires)) "." }
        }
    }
}

fn tokens(tokens: &[AccessToken], own: Option<i64>) -> Markup {
    let now = now();
    html! {
        div.wide tabindex="0" role="group" aria-label="Tokens" { table {
            thead { tr { th { "No." } th { "Name" } th { "Role" } th { "State" } th { "Until" } th { "Last used" } th { "Made by" }
                th { span.unseen { "What can be done" } } } }
            tbody { @for token in tokens { tr {
                td { (token.id) }
                td { (token.name) @if own == Some(token.id) { " " span.soft { "(you)" } } }
                td { (token.role) }
                td { @match (token.revoked, token.holds(now)) {
                    (Some(_), _) => span.soft { "revoked" },
                    (None, true) => span.good { "holds" },
                    (None, false) => span.soft { "expired" },
                } }
                td { (day(token.expires)) }
                td { @match token.used { Some(used) => (time(used)), None => "never" } }
                td { (token.created_by) }
                td { @if token.holds(now) && own != Some(token.id) {
                    form method="post" action={ "/settings/tokens/" (token.id) "/revoke" } {
                        button.danger.small type="submit" aria-label={ "Revoke token " (token.id) " of " (token.name) } { "Revoke" }
                    }
                } }
            } } }
        } }
    }
}

fn new_form() -> Markup {
    html! {
        details { summary { "New token" }
            form method="post" action="/settings/tokens" {
                label for="name" { "Name" }
                input id="name" name="name" required maxlength="100" aria-describedby="name-hint";
                p.hint id="name-hint" { "The log keeps it with everything that its holder does." }
                label for="role" { "Role" }
                select id="role" name="role" aria-describedby="role-hint" { @for role in Role::ALL { option value=(role) { (role) } } }
                p.hint id="role-hint" { "Requesters file, operators carry out, approvers approve, auditors read all, viewers read." }
                label for="days" { "Days" }
                input id="days" name="days" inputmode="numeric" value=(USUAL);
                p { button.main type="submit" { "Make it" } }
            }
        }
    }
}

fn policies(settings: &Settings) -> Markup {
    let (now, other) = match settings.four_eyes {
        true => ("On: who filed a request cannot approve it.", "off"),
        false => ("Off: who filed a request may approve it too.", "on"),
    };
    let days = settings.retention.as_deref().unwrap_or_default();
    html! {
        section { h2 { "Four eyes" }
            p { (now) }
            form method="post" action="/settings/four-eyes" {
                button type="submit" name="to" value=(other) { "Turn it " (other) }
            }
        }
        section { h2 { "Retention" }
            p { @match &settings.retention {
                Some(keep) => { "Versions that were replaced are kept for " strong { (keep) } ", and are due for a purge then." }
                None => "Versions that were replaced are kept until they are purged by name, or with their request.",
            } }
            form method="post" action="/settings/retention" {
                label for="keep" { "Days" }
                input id="keep" name="days" inputmode="numeric" value=(days.strip_suffix('d').unwrap_or_default()) aria-describedby="keep-hint";
                p.hint id="keep-hint" { "No end where it is empty." }
                p { button type="submit" { "Keep them so long" } }
            }
        }
    }
}
