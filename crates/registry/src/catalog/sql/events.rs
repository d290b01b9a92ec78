//! What happened to erasure requests, in the database.

use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, Row};

use crate::catalog::sql::pool::SqlCatalog;
use crate::catalog::sql::service::time;
use crate::erasures::event::ErasureEvent;
use crate::erasures::state::ErasureState;
use crate::error::RegistryError;
use crate::ids::{ErasureId, OperationId};

impl SqlCatalog {
    pub(super) async fn events_after(
        &self,
        after: OperationId,
        request: Option<ErasureId>,
        limit: u32,
    ) -> Result<Vec<ErasureEvent>, RegistryError> {
        // All databases want every parameter used.
        let which = match request {
            Some(_) => "e.erasure = $2",
            None => "$2 = $2",
        };
        let text = format!(
            "SELECT o.id, e.erasure, o.command, e.state, o.actor, o.time \
             FROM erasure_operations e JOIN operations o ON o.id = e.operation \
             WHERE e.operation > $1 AND {which} ORDER BY e.operation LIMIT $3"
        );
        let rows = sqlx::query(AssertSqlSafe(text))
            .bind(after.get())
            .bind(request.map(ErasureId::get).unwrap_or_default())
            .bind(i64::from(limit))
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(event).collect()
    }

    pub(super) async fn last_event(&self) -> Result<OperationId, RegistryError> {
        let text = "SELECT COALESCE(MAX(operation), 0) FROM erasure_operations";
        let last: i64 = sqlx::query_scalar(text).fetch_one(self.pool()).await?;
        Ok(OperationId::new(last))
    }
}

fn event(row: &AnyRow) -> Result<ErasureEvent, RegistryError> {
    Ok(ErasureEvent {
        operation: OperationId::new(row.try_get(0)?),
        request: ErasureId::new(row.try_get(1)?),
        step: step(row.try_get(2)?),
        state: state(row, 3)?,
        actor: row.try_get(4)?,
        time: time(row, 5)?,
    })
}

/// A command of the log as a step of a request.
pub(super) fn step(command: &str) -> String {
    let step = command.strip_prefix("request ");
    step.unwrap_or(command).to_owned()
}

/// A state that may not be there.
pub(super) fn state(row: &AnyRow, at: usize) -> Result<Option<ErasureState>, RegistryError> {
    let text: &str = row.try_get(at)?;
    if text.is_empty() {
        return Ok(None);
    }
    let known = text.parse().map_err(|reason| RegistryError::Document {
        what: "state of a request".into(),
        reason,
    })?;
    Ok(Some(known))
}
