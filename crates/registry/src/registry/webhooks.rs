//! Who is told when requests change their state.

use crate::error::RegistryError;
use crate::registry::Registry;
use crate::service::webhook::{Delivery, DeliveryEnd, MessagePage, Webhook, WebhookMessage};
use crate::time::now;

/// How long a server may be silent before another one delivers the messages of its webhook, in milliseconds.
/// An attempt must take less.
const LEASE: u64 = 30_000;

impl Registry {
    /// Keeps a webhook, and returns its number. From now on it is told.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn add_webhook(&self, webhook: &Webhook) -> Result<i64, RegistryError> {
        self.wait(self.catalog().add_webhook(webhook))
    }

    /// All webhooks, by number.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn webhooks(&self) -> Result<Vec<Webhook>, RegistryError> {
        self.wait(self.catalog().webhooks())
    }

    /// Removes a webhook with what is still to be delivered; false where there is none.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn remove_webhook(&self, id: i64) -> Result<bool, RegistryError> {
        self.wait(self.catalog().remove_webhook(id))
    }

    /// Pauses a webhook, whose messages wait from now on, or has them delivered again; false where there is none.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn pause_webhook(&self, id: i64, paused: bool) -> Result<bool, RegistryError> {
        let since = if paused { now() } else { 0 };
        self.wait(self.catalog().pause_webhook(id, since))
    }

    /// Messages of webhooks and what has become of them, the newest first. Of those that have ended, the last fifty of
    /// each webhook are kept.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn webhook_messages(
        &self,
        page: &MessagePage,
    ) -> Result<Vec<WebhookMessage>, RegistryError> {
        self.wait(self.catalog().webhook_messages(page))
    }

    /// Takes a webhook that has something to deliver. No other worker gets it before this one has been silent
    /// for half a minute, or releases it.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn take_webhook(&self, worker: &str) -> Result<Option<Webhook>, RegistryError> {
        let now = now();
        self.wait(self.catalog().take_webhook(worker, now, now + LEASE))
    }

    /// The oldest message of a webhook that is to be delivered by now.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn due_delivery(&self, webhook: i64) -> Result<Option<Delivery>, RegistryError> {
        self.wait(self.catalog().due_delivery(webhook, now()))
    }

    /// Puts on record how an attempt ended; false where another worker has the webhook by now.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn end_delivery(
        &self,
        delivery: &Delivery,
        worker: &str,
        end: &DeliveryEnd,
    ) -> Result<bool, RegistryError> {
        let until = now() + LEASE;
        self.wait(self.catalog().end_delivery(delivery, worker, end, until))
    }

    /// Lets others have a webhook that was taken.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn release_webhook(&self, id: i64, worker: &str) -> Result<(), RegistryError> {
        self.wait(self.catalog().release_webhook(id, worker))
    }
}
