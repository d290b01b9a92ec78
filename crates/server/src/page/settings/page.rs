//! The page of the settings, with what has just happened on it.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use disinherit::registry::{AccessToken, MessagePage, Webhook, WebhookMessage};
use maud::{Markup, html};

use super::shown;
use crate::app::{App, Caller};
use crate::page::frame::{Frame, problem, told};
use crate::problem::Problem;

/// How many messages of webhooks are shown.
const MESSAGES: u32 = 30;

/// What the settings are.
struct Settings {
    tokens: Vec<AccessToken>,
    webhooks: Vec<Webhook>,
    messages: Vec<WebhookMessage>,
    four_eyes: bool,
    retention: Option<String>,
}

/// What has just happened.
pub(super) enum News<'a> {
    None,
    /// Something was made or done, in words.
    Good(Markup),
    Failed(&'a Problem),
}

/// Back to the settings, or the problem on them.
pub(super) async fn done(
    app: &Arc<App>,
    caller: Option<Caller>,
    set: Result<(), Problem>,
) -> Response {
    match set {
        Ok(()) => Redirect::to("/settings").into_response(),
        Err(error) => page(app, caller, News::Failed(&error)).await,
    }
}

/// What was made or done, or the problem.
pub(super) async fn told_of<T>(
    app: &Arc<App>,
    caller: Option<Caller>,
    done: Result<T, Problem>,
    words: impl FnOnce(&T) -> Markup,
) -> Response {
    let news = match &done {
        Ok(made) => News::Good(words(made)),
        Err(error) => News::Failed(error),
    };
    page(app, caller, news).await
}

/// The settings.
pub(super) async fn page(app: &Arc<App>, caller: Option<Caller>, news: News<'_>) -> Response {
    let last = MessagePage {
        limit: MESSAGES,
        ..MessagePage::default()
    };
    let read = app.read(move |registry| {
        Ok(Settings {
            tokens: registry.tokens()?,
            webhooks: registry.webhooks()?,
            messages: registry.webhook_messages(&last)?,
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
    let status = match &news {
        News::Failed(error) => StatusCode::from_u16(error.status).ok(),
        News::None | News::Good(_) => None,
    };
    let mut answer = frame.around(&html! {
        h1 { "Settings" }
        @match news {
            News::None => {}
            News::Good(words) => div.panel.good-news role="status" { (words) },
            News::Failed(error) => (told(error)),
        }
        (shown::tokens(&settings.tokens, own))
        (shown::webhooks(&settings.webhooks, &settings.messages))
        (shown::policies(settings.four_eyes, settings.retention.as_deref()))
    });
    if let Some(status) = status {
        *answer.status_mut() = status;
    }
    answer
}
