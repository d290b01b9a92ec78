//! Webhooks: who is told when requests change their state.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::Response;
use disinherit::registry::Webhook;

use super::page::{done, told_of};
use super::shown;
use crate::api::requests::known;
use crate::app::{App, Caller};
use crate::page::form::Form;
use crate::problem::Problem;
use crate::query::Path;
use crate::webhooks::make::NewWebhook;
use crate::webhooks::steps;

/// Makes a webhook, and shows its secret this once.
pub(in crate::page) async fn new_webhook(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    Form(fields): Form<Vec<(String, String)>>,
) -> Response {
    let made = made(&app, caller.clone(), &fields).await;
    told_of(&app, caller, made, shown::made_webhook).await
}

async fn made(
    app: &Arc<App>,
    caller: Option<Caller>,
    fields: &[(String, String)],
) -> Result<Webhook, Problem> {
    let caller = known(caller)?;
    steps::add(app, &caller, read(fields)?).await
}

/// A webhook as the form says it: a field may be there more than once.
fn read(fields: &[(String, String)]) -> Result<NewWebhook, Problem> {
    let all = |name: &'static str| {
        let own = fields.iter().filter(move |(known, _)| known == name);
        own.map(|(_, value)| value.trim())
    };
    let mut new = NewWebhook::to(all("url").next().unwrap_or_default());
    new.states = steps::states(all("states"))?;
    new.allow_http = all("allow_http").any(|value| value == "on");
    if let Some(attempts) = all("attempts").find(|text| !text.is_empty()) {
        let wrong = |_| Problem::bad(format!("`{attempts}` is no number of attempts"));
        new.attempts = attempts.parse().map_err(wrong)?;
    }
    Ok(new)
}

/// Sends a message to a webhook, once.
pub(in crate::page) async fn test(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    Path(id): Path,
) -> Response {
    let tested = steps::test(&app, &id).await;
    told_of(&app, caller, tested, shown::tried_webhook).await
}

/// Has the messages of a webhook wait.
pub(in crate::page) async fn pause(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    Path(id): Path,
) -> Response {
    let paused = steps::pause(&app, &id, true).await;
    done(&app, caller, paused.map(|_| ())).await
}

/// Has the messages of a webhook delivered again.
pub(in crate::page) async fn resume(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    Path(id): Path,
) -> Response {
    let resumed = steps::pause(&app, &id, false).await;
    done(&app, caller, resumed.map(|_| ())).await
}

/// Removes a webhook with what is still to be delivered.
pub(in crate::page) async fn remove(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    Path(id): Path,
) -> Response {
    let removed = steps::remove(&app, &id).await;
    done(&app, caller, removed).await
}
