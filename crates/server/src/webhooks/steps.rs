//! What administrators do with webhooks: the same for programs and for the page.

use std::sync::Arc;

use disinherit::registry::{ErasureState, OperationId, Webhook, WebhookMessage};

use crate::api::body::positive;
use crate::app::{App, Caller};
use crate::problem::Problem;
use crate::webhooks::known::{pause_webhook, test_webhook, webhook_messages};
use crate::webhooks::make::{NewWebhook, make_webhook};

/// Makes a webhook. What is returned has the secret.
pub(crate) async fn add(
    app: &Arc<App>,
    caller: &Caller,
    new: NewWebhook,
) -> Result<Webhook, Problem> {
    let by = caller.name.clone();
    app.read(move |registry| Ok(make_webhook(registry, &by, new)?))
        .await
}

/// Sends a message of the type `webhook.test`, once, and says whether it arrived.
pub(crate) async fn test(app: &Arc<App>, id: &str) -> Result<Webhook, Problem> {
    let id = number(id)?;
    app.read(move |registry| Ok(test_webhook(registry, id)?))
        .await
}

/// Has the messages of a webhook wait, or delivered again.
pub(crate) async fn pause(app: &Arc<App>, id: &str, paused: bool) -> Result<Webhook, Problem> {
    let id = number(id)?;
    let found = app
        .read(move |registry| Ok(pause_webhook(registry, id, paused)?))
        .await?;
    // What has waited is delivered now.
    app.news.notify_waiters();
    Ok(found)
}

/// Messages of a webhook, and what the next page is before.
pub(crate) async fn messages(
    app: &Arc<App>,
    id: &str,
    before: Option<OperationId>,
    limit: u32,
) -> Result<(Vec<WebhookMessage>, Option<OperationId>), Problem> {
    let id = number(id)?;
    app.read(move |registry| Ok(webhook_messages(registry, id, before, limit)?))
        .await
}

/// Removes a webhook, with what is still to be delivered.
pub(crate) async fn remove(app: &Arc<App>, id: &str) -> Result<(), Problem> {
    let id = number(id)?;
    let removed = app.read(move |registry| Ok(registry.remove_webhook(id)?));
    match removed.await? {
        true => Ok(()),
        false => Err(missing()),
    }
}

/// States by their names.
pub(crate) fn states<'a>(
    names: impl Iterator<Item = &'a str>,
) -> Result<Vec<ErasureState>, Problem> {
    names
        .map(|name| name.parse().map_err(Problem::bad))
        .collect()
}

fn number(text: &str) -> Result<i64, Problem> {
    positive(text).ok_or_else(missing)
}

fn missing() -> Problem {
    Problem::missing("no webhook has this number")
}
