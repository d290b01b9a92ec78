//! Delivering: what the catalog says is due, each webhook's messages one after the other, several webhooks
//! beside each other.

use std::sync::Arc;
use std::time::Duration;

use disinherit::model::now;
use disinherit::registry::{Delivery, DeliveryEnd, Registry, RegistryError, Webhook};
use tokio::sync::Semaphore;

use crate::app::App;
use crate::webhooks::message::Message;
use crate::webhooks::send::Sender;

/// How often the catalog is asked. What this server does itself is delivered at once.
const LOOK: Duration = Duration::from_secs(1);

/// The most webhooks that are delivered to at a time.
const AT_A_TIME: usize = 16;

/// How many times as long as the one before a pause is.
const FACTOR: u64 = 4;

/// The longest pause, in milliseconds: a day.
const LONGEST: u64 = 24 * 3_600_000;

/// Delivers messages until the server stops. What is on its way then is delivered by the next server, perhaps
/// a second time.
pub(crate) async fn run(app: Arc<App>, name: String) {
    let (name, turns) = (Arc::new(name), Arc::new(Semaphore::new(AT_A_TIME)));
    let sender = Sender::new();
    loop {
        tokio::select! {
            () = app.stopped() => return,
            () = app.news.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
        while let Ok(turn) = Arc::clone(&turns).try_acquire_owned() {
            let own = Arc::clone(&name);
            let taken = app.read(move |registry| Ok(registry.take_webhook(&own)?));
            // Where the catalog fails, that is logged, and asked again later.
            let Ok(Some(webhook)) = taken.await else {
                break;
            };
            let (app, name, sender) = (Arc::clone(&app), Arc::clone(&name), sender.clone());
            tokio::task::spawn_blocking(move || {
                let delivered = deliver(&app, &name, &sender, &webhook);
                if let Err(error) = delivered {
                    tracing::error!(%error, webhook = webhook.id, "messages cannot be delivered");
                }
                drop(turn);
            });
        }
    }
}

/// Delivers what is due, the oldest first, and lets others have the webhook then.
fn deliver(app: &App, name: &str, sender: &Sender, webhook: &Webhook) -> Result<(), RegistryError> {
    let registry: &Registry = &app.settings.equipment.registry;
    while !app.is_stopping() {
        let Some(delivery) = registry.due_delivery(webhook.id)? else {
            break;
        };
        let end = attempt(sender, webhook, &delivery);
        if !registry.end_delivery(&delivery, name, &end)? {
            // It was removed, or is another server's by now.
            return Ok(());
        }
    }
    registry.release_webhook(webhook.id, name)
}

fn attempt(sender: &Sender, webhook: &Webhook, delivery: &Delivery) -> DeliveryEnd {
    let (id, operation) = (webhook.id, delivery.operation.get());
    let Err(said) = sender.send(webhook, &Message::for_delivery(delivery)) else {
        return DeliveryEnd::Arrived;
    };
    let attempt = delivery.attempt.saturating_add(1);
    tracing::warn!(
        webhook = id,
        operation,
        attempt,
        said,
        "a message has not arrived"
    );
    match attempt < webhook.attempts {
        true => DeliveryEnd::Again {
            due: now().saturating_add(pause(webhook.pause, delivery.attempt)),
            said,
        },
        false => DeliveryEnd::GivenUp { said },
    }
}

/// The pause after an attempt, the first one being 0.
fn pause(first: u64, attempt: u32) -> u64 {
    let times = FACTOR.checked_pow(attempt).unwrap_or(u64::MAX);
    first.saturating_mul(times).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_day() {
        let pauses: Vec<u64> = [0, 1, 2, 3, 30, 300]
            .map(|attempt| pause(5000, attempt))
            .into();
        assert_eq!(pauses, [5000, 20_000, 80_000, 320_000, LONGEST, LONGEST]);
    }
}
