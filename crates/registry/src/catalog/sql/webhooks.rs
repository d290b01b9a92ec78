//! Webhooks in the database, and what is still to be delivered.

use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe, Row, Transaction};

use crate::catalog::sql::events::{state, step};
use crate::catalog::sql::messages;
use crate::catalog::sql::pool::SqlCatalog;
use crate::catalog::sql::service::{as_time, next, time};
use crate::catalog::sql::write::Writer;
use crate::erasures::state::ErasureState;
use crate::error::RegistryError;
use crate::ids::{ErasureId, OperationId};
use crate::service::webhook::{Delivery, DeliveryEnd, Webhook, WebhookTally};

const WEBHOOK: &str = "SELECT id, url, secret, states, attempts, pause, created_by, created, delivered, last, given_up, \
                       said, (SELECT COUNT(*) FROM deliveries d WHERE d.webhook = w.id), paused FROM webhooks w";

impl Writer {
    /// Notes that a request changed its state, for every webhook that is to be told. It is in the same
    /// transaction as the step: no message is lost, and none tells what did not happen.
    pub(super) async fn tell(
        &mut self,
        operation: OperationId,
        erasure: ErasureId,
        before: Option<ErasureState>,
        state: ErasureState,
    ) -> Result<(), RegistryError> {
        let text = format!(
            "INSERT INTO deliveries (webhook, operation, erasure, before, state) \
             SELECT id, CAST($1 AS BIGINT), CAST($2 AS BIGINT), CAST($3 AS TEXT), CAST($4 AS TEXT) \
             FROM webhooks WHERE states = '' OR states LIKE '%,{state},%'"
        );
        sqlx::query(AssertSqlSafe(text))
            .bind(operation.get())
            .bind(erasure.get())
            .bind(before.map(ErasureState::name).unwrap_or_default())
            .bind(state.name())
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }
}

impl SqlCatalog {
    pub(super) async fn insert_webhook(&self, webhook: &Webhook) -> Result<i64, RegistryError> {
        let mut transaction = self.begin().await?;
        let last = "SELECT COALESCE(MAX(id), 0) FROM webhooks";
        let id = next(&mut transaction, last).await?;
        let text = "INSERT INTO webhooks (id, url, secret, states, attempts, pause, created_by, created) \
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        sqlx::query(text)
            .bind(id)
            .bind(&webhook.url)
            .bind(&webhook.secret)
            .bind(as_text(&webhook.states))
            .bind(i64::from(webhook.attempts))
            .bind(as_time(webhook.pause))
            .bind(&webhook.created_by)
            .bind(as_time(webhook.created))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(id)
    }

    pub(super) async fn all_webhooks(&self) -> Result<Vec<Webhook>, RegistryError> {
        let text = AssertSqlSafe(format!("{WEBHOOK} ORDER BY id"));
        let rows = sqlx::query(text).fetch_all(self.pool()).await?;
        rows.iter().map(webhook).collect()
    }

    pub(super) async fn delete_webhook(&self, id: i64) -> Result<bool, RegistryError> {
        let mut transaction = self.begin().await?;
        for messages in [
            "DELETE FROM deliveries WHERE webhook = $1",
            "DELETE FROM ended_deliveries WHERE webhook = $1",
        ] {
            sqlx::query(messages)
                .bind(id)
                .execute(&mut *transaction)
                .await?;
        }
        let done = sqlx::query("DELETE FROM webhooks WHERE id = $1")
            .bind(id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    pub(super) async fn mark_paused(&self, id: i64, since: u64) -> Result<bool, RegistryError> {
        let done = sqlx::query("UPDATE webhooks SET paused = $1 WHERE id = $2")
            .bind(as_time(since))
            .bind(id)
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    pub(super) async fn take_due_webhook(
        &self,
        worker: &str,
        now: u64,
        until: u64,
    ) -> Result<Option<Webhook>, RegistryError> {
        // Most of the time there is nothing, and writers are not to wait for the answer.
        let due = "SELECT COUNT(*) FROM deliveries d JOIN webhooks w ON w.id = d.webhook \
                   WHERE d.due <= $1 AND w.paused = 0";
        let due: i64 = sqlx::query_scalar(due)
            .bind(as_time(now))
            .fetch_one(self.pool())
            .await?;
        if due == 0 {
            return Ok(None);
        }
        let mut transaction = self.begin().await?;
        let text = AssertSqlSafe(format!(
            "{WEBHOOK} WHERE lease < $1 AND paused = 0 AND EXISTS \
             (SELECT 1 FROM deliveries e WHERE e.webhook = w.id AND e.due <= $1) ORDER BY id LIMIT 1"
        ));
        let found = sqlx::query(text)
            .bind(as_time(now))
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(found) = found.as_ref().map(webhook).transpose()? else {
            return Ok(None);
        };
        sqlx::query("UPDATE webhooks SET worker = $1, lease = $2 WHERE id = $3")
            .bind(worker)
            .bind(as_time(until))
            .bind(found.id)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Some(found))
    }

    pub(super) async fn first_due(
        &self,
        webhook: i64,
        now: u64,
    ) -> Result<Option<Delivery>, RegistryError> {
        let text = "SELECT d.webhook, d.operation, o.hash, d.erasure, o.command, d.before, d.state, o.time, d.attempt \
                    FROM deliveries d JOIN operations o ON o.id = d.operation JOIN webhooks w ON w.id = d.webhook \
                    WHERE d.webhook = $1 AND d.due <= $2 AND w.paused = 0 ORDER BY d.operation LIMIT 1";
        let row = sqlx::query(text)
            .bind(webhook)
            .bind(as_time(now))
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(delivery).transpose()
    }

    pub(super) async fn end_attempt(
        &self,
        delivery: &Delivery,
        worker: &str,
        end: &DeliveryEnd,
        until: u64,
    ) -> Result<bool, RegistryError> {
        let mut transaction = self.begin().await?;
        let text = "UPDATE webhooks SET lease = $1 WHERE id = $2 AND worker = $3";
        let own = sqlx::query(text)
            .bind(as_time(until))
            .bind(delivery.webhook)
            .bind(worker)
            .execute(&mut *transaction)
            .await?;
        if own.rows_affected() == 0 {
            return Ok(false);
        }
        match end {
            DeliveryEnd::Arrived => {
                let tally =
                    "UPDATE webhooks SET delivered = delivered + 1, last = $1 WHERE id = $2";
                sqlx::query(tally)
                    .bind(as_time(crate::time::now()))
                    .bind(delivery.webhook)
                    .execute(&mut *transaction)
                    .await?;
            }
            DeliveryEnd::Again { said, .. } | DeliveryEnd::GivenUp { said } => {
                let given_up = matches!(end, DeliveryEnd::GivenUp { .. });
                let tally = "UPDATE webhooks SET said = $1, given_up = given_up + $2 WHERE id = $3";
                sqlx::query(tally)
                    .bind(said)
                    .bind(i64::from(given_up))
                    .bind(delivery.webhook)
                    .execute(&mut *transaction)
                    .await?;
            }
        }
        leave(&mut transaction, delivery, end).await?;
        messages::note(&mut transaction, delivery, end).await?;
        transaction.commit().await?;
        Ok(true)
    }

    pub(super) async fn release(&self, id: i64, worker: &str) -> Result<(), RegistryError> {
        sqlx::query("UPDATE webhooks SET lease = 0 WHERE id = $1 AND worker = $2")
            .bind(id)
            .bind(worker)
            .execute(self.pool())
            .await?;
        Ok(())
    }
}

/// Takes a message from those that are to be delivered, or lets it wait there for its next attempt.
async fn leave(
    transaction: &mut Transaction<'static, Any>,
    delivery: &Delivery,
    end: &DeliveryEnd,
) -> Result<(), RegistryError> {
    let query = match end {
        DeliveryEnd::Again { due, .. } => {
            let text = "UPDATE deliveries SET attempt = attempt + 1, due = $1 \
                        WHERE webhook = $2 AND operation = $3";
            sqlx::query(text).bind(as_time(*due))
        }
        DeliveryEnd::Arrived | DeliveryEnd::GivenUp { .. } => {
            sqlx::query("DELETE FROM deliveries WHERE webhook = $1 AND operation = $2")
        }
    };
    query
        .bind(delivery.webhook)
        .bind(delivery.operation.get())
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

fn webhook(row: &AnyRow) -> Result<Webhook, RegistryError> {
    let count = |at: usize| time(row, at);
    Ok(Webhook {
        id: row.try_get(0)?,
        url: row.try_get(1)?,
        secret: row.try_get(2)?,
        states: from_text(row.try_get(3)?)?,
        attempts: u32::try_from(count(4)?).unwrap_or(u32::MAX),
        pause: count(5)?,
        created_by: row.try_get(6)?,
        created: time(row, 7)?,
        tally: WebhookTally {
            delivered: count(8)?,
            last: Some(time(row, 9)?).filter(|time| *time > 0),
            given_up: count(10)?,
            said: row.try_get(11)?,
            waiting: count(12)?,
        },
        paused: Some(time(row, 13)?).filter(|time| *time > 0),
    })
}

fn delivery(row: &AnyRow) -> Result<Delivery, RegistryError> {
    let known = state(row, 6)?.ok_or_else(|| RegistryError::Document {
        what: "delivery".into(),
        reason: "it has no state".into(),
    })?;
    Ok(Delivery {
        webhook: row.try_get(0)?,
        operation: OperationId::new(row.try_get(1)?),
        hash: row.try_get(2)?,
        request: ErasureId::new(row.try_get(3)?),
        step: step(row.try_get(4)?),
        before: state(row, 5)?,
        state: known,
        time: time(row, 7)?,
        attempt: u32::try_from(time(row, 8)?).unwrap_or(u32::MAX),
    })
}

/// States as the table keeps them: with commas around each.
fn as_text(states: &[ErasureState]) -> String {
    let names: Vec<&str> = states.iter().map(|state| state.name()).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!(",{},", names.join(",")),
    }
}

fn from_text(text: &str) -> Result<Vec<ErasureState>, RegistryError> {
    let names = text.split(',').filter(|name| !name.is_empty());
    let states = names.map(|name| {
        name.parse().map_err(|reason| RegistryError::Document {
            what: "webhook".into(),
            reason,
        })
    });
    states.collect()
}
