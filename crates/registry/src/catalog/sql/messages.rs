//! What has become of the messages of webhooks.

use sqlx::any::AnyRow;
use sqlx::{Any, Row, Transaction};

use crate::catalog::sql::events::state;
use crate::catalog::sql::pool::SqlCatalog;
use crate::catalog::sql::service::{as_time, time};
use crate::error::RegistryError;
use crate::ids::{ErasureId, OperationId};
use crate::service::webhook::{Delivery, DeliveryEnd, MessageFate, MessagePage, WebhookMessage};

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

/// In one statement: a message that is delivered meanwhile is in it once.
const MESSAGES: &str = "SELECT webhook, operation, erasure, state, attempts, time, fate, said FROM (\
    SELECT webhook, operation, erasure, state, attempt AS attempts, due AS time, 'waiting' AS fate, '' AS said \
    FROM deliveries UNION ALL \
    SELECT webhook, operation, erasure, state, attempts, ended AS time, 'ended' AS fate, said \
    FROM ended_deliveries) m \
    WHERE operation < $1 AND ($2 = 0 OR webhook = $2) ORDER BY operation DESC, webhook LIMIT $3";

impl SqlCatalog {
    pub(super) async fn messages_of(
        &self,
        page: &MessagePage,
    ) -> Result<Vec<WebhookMessage>, RegistryError> {
        let rows = sqlx::query(MESSAGES)
            .bind(page.before.map_or(i64::MAX, OperationId::get))
            .bind(page.webhook.unwrap_or_default())
            .bind(i64::from(page.limit))
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(message).collect()
    }
}

fn message(row: &AnyRow) -> Result<WebhookMessage, RegistryError> {
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
        fate: fate(row)?,
    })
}

fn fate(row: &AnyRow) -> Result<MessageFate, RegistryError> {
    let (time, fate, said): (u64, &str, String) = (time(row, 5)?, row.try_get(6)?, row.try_get(7)?);
    Ok(match (fate, said.is_empty()) {
        ("waiting", _) => MessageFate::Waiting { due: time },
        (_, true) => MessageFate::Arrived { time },
        (_, false) => MessageFate::GivenUp { time, said },
    })
}
