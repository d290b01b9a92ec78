//! What is done with a webhook that was made: it is tried, paused, and its messages are looked at.

use disinherit::model::now;
use disinherit::registry::{MessagePage, OperationId, Registry, Webhook, WebhookMessage};
use rand::TryRng;

use crate::error::ServeError;
use crate::identity::hexadecimal;
use crate::webhooks::message::Message;
use crate::webhooks::send::Sender;

/// A webhook by its number.
///
/// # Errors
/// [`ServeError::NoWebhook`]; the registry's.
fn find_webhook(registry: &Registry, id: i64) -> Result<Webhook, ServeError> {
    let mut all = registry.webhooks()?.into_iter();
    all.find(|known| known.id == id)
        .ok_or(ServeError::NoWebhook(id))
}

/// Sends a message of the type `webhook.test`, once, from here.
///
/// # Errors
/// [`ServeError::NoWebhook`]; [`ServeError::NotDelivered`] with the reason why it has not arrived; the
/// registry's.
pub fn test_webhook(registry: &Registry, id: i64) -> Result<Webhook, ServeError> {
    let webhook = find_webhook(registry, id)?;
    let mut seed = [0; 16];
    rand::rngs::SysRng
        .try_fill_bytes(&mut seed)
        .map_err(|error| ServeError::Webhook(error.to_string()))?;
    let message = Message::test(format!("msg_{}", hexadecimal(&seed)), id, now());
    let sent = Sender::new().send(&webhook, &message);
    match sent {
        Ok(()) => Ok(webhook),
        Err(reason) => Err(ServeError::NotDelivered {
            url: webhook.url,
            reason,
        }),
    }
}

/// Pauses a webhook, whose messages wait from now on, or has them delivered again.
///
/// # Errors
/// [`ServeError::NoWebhook`]; the registry's.
pub fn pause_webhook(registry: &Registry, id: i64, paused: bool) -> Result<Webhook, ServeError> {
    match registry.pause_webhook(id, paused)? {
        true => find_webhook(registry, id),
        false => Err(ServeError::NoWebhook(id)),
    }
}

/// Messages of a webhook and what has become of them, the newest first: those that tell of operations before
/// `before`, `limit` at most. With them comes what the next page is before, where there may be one.
///
/// # Errors
/// [`ServeError::NoWebhook`]; the registry's.
pub fn webhook_messages(
    registry: &Registry,
    id: i64,
    before: Option<OperationId>,
    limit: u32,
) -> Result<(Vec<WebhookMessage>, Option<OperationId>), ServeError> {
    let webhook = Some(find_webhook(registry, id)?.id);
    let page = MessagePage {
        webhook,
        before,
        limit,
    };
    let found = registry.webhook_messages(&page)?;
    let next = found.last().filter(|_| found.len() == limit as usize);
    let next = next.map(|message| message.operation);
    Ok((found, next))
}
