//! What has become of the messages of webhooks.

use sqlx::any::AnyRow;
use sqlx::{Any, Row, Transaction};

use crate::catalog::sql::events::state;
use crate::catalog::sql::pool::SqlCatalog;
use crate::catalog::sql::service::{as_time, time};
use crate::error::RegistryError;
use crate::ids::{ErasureId, OperationId};
use crate::service::webhook::{Delivery, DeliveryEnd, MessageFate, WebhookMessage};

/// How many messages that have ended are kept of each webhook.
const KEPT: i64 = 50;

/// Notes that a message has ended, and forgets older ones. One that is tried again has not.
pub(super) async fn note(
    transaction: &mut Transaction<'static, Any>,
    delivery: &Delivery,
    end: &DeliveryEnd,
) -> Result<(), RegistryError> {
    let said = match end {
        DeliveryEnd::Again { .. } => return Ok(()),
        DeliveryEnd::Arrived => "",
        // One that was given up has a reason, whatever the receiver said.
        DeliveryEnd::GivenUp { said } if said.is_empty() => "it has not arrived",
        DeliveryEnd::GivenUp { said } => said,
    };
    let text = "INSERT INTO ended_deliveries (webhook, operation, erasure, state, attempts, ended, said) \
                VALUES ($1, $2, $3, $4, $5, $6, $7)";
    sqlx::query(text)
        .bind(delivery.webhook)
        .bind(delivery.operation.get())
        .bind(delivery.request.get())
        .bind(delivery.state.name())
        .bind(i64::from(delivery.attempt.saturating_add(1)))
        .bind(as_time(crate::time::now()))
        .bind(said)
        .execute(&mut **transaction)
        .await?;
    let text = "DELETE FROM ended_deliveries WHERE webhook = $1 AND operation NOT IN (SELECT operation \
                FROM ended_deliveries WHERE webhook = $1 ORDER BY operation DESC LIMIT $2)";
    sqlx::query(text)
        .bind(delivery.webhook)
        .bind(KEPT)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

impl SqlCatalog {
    pub(super) async fn last_messages(
        &self,
        limit: u32,
    ) -> Result<Vec<WebhookMessage>, RegistryError> {
        let waiting = "SELECT webhook, operation, erasure, state, attempt, due FROM deliveries \
                       ORDER BY operation DESC, webhook LIMIT $1";
        let ended = "SELECT webhook, operation, erasure, state, attempts, ended, said FROM ended_deliveries \
                     ORDER BY operation DESC, webhook LIMIT $1";
        let mut found = Vec::new();
        for (text, fate) in [(waiting, waits as Fate), (ended, has_ended)] {
            let rows = sqlx::query(text)
                .bind(i64::from(limit))
                .fetch_all(self.pool())
                .await?;
            for row in &rows {
                found.push(message(row, fate(row)?)?);
            }
        }
        // The newest operation first.
        found.sort_by_key(|message| (std::cmp::Reverse(message.operation.get()), message.webhook));
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(found)
    }
}

type Fate = fn(&AnyRow) -> Result<MessageFate, RegistryError>;

fn waits(row: &AnyRow) -> Result<MessageFate, RegistryError> {
    Ok(MessageFate::Waiting { due: time(row, 5)? })
}

fn has_ended(row: &AnyRow) -> Result<MessageFate, RegistryError> {
    let (time, said): (u64, String) = (time(row, 5)?, row.try_get(6)?);
    Ok(match said.is_empty() {
        true => MessageFate::Arrived { time },
        false => MessageFate::GivenUp { time, said },
    })
}

fn message(row: &AnyRow, fate: MessageFate) -> Result<WebhookMessage, RegistryError> {
    let known = state(row, 3)?.ok_or_else(|| RegistryError::Document {
        what: "message of a webhook".into(),
        reason: "it has no state".into(),
    })?;
    Ok(WebhookMessage {
        webhook: row.try_get(0)?,
        operation: OperationId::new(row.try_get(1)?),
        request: ErasureId::new(row.try_get(2)?),
        state: known,
        attempts: u32::try_from(time(row, 4)?).unwrap_or(u32::MAX),
        fate,
    })
}
