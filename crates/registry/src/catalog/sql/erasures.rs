//! Erasure requests in the database.

use std::borrow::Cow;

use sqlx::{Any, AssertSqlSafe, Executor, Row};

use crate::catalog::sql::json::{from_json, to_json};
use crate::catalog::sql::pool::SqlCatalog;
use crate::catalog::sql::read::{OPERATION, operation};
use crate::catalog::sql::service::as_time;
use crate::catalog::sql::write::Writer;
use crate::erasures::concern::{Concern, concern_of};
use crate::erasures::page::{ErasureOrder, ErasurePage};
use crate::erasures::refusal::ErasureRefusal;
use crate::erasures::request::{ErasureRequest, Stamp, cancelled};
use crate::erasures::state::{ErasureState, StepKind};
use crate::erasures::step::{ErasureRecord, ErasureRun, ErasureStep};
use crate::error::RegistryError;
use crate::ids::{ErasureId, OperationId};
use crate::log::entry::{Operation, OperationRow};
use crate::log::record::OperationRecord;
use crate::registry::erasures::{FOUR_EYES, ON};
use crate::time::now;

/// How long a run that says nothing of itself may not be taken over, in milliseconds. A run says every few
/// seconds that it goes on.
const LEASE: i64 = 30_000;

/// What a document is called where it cannot be read.
const WHAT: &str = "erasure request";

/// All requests, by number.
pub(super) async fn all<'e>(
    executor: impl Executor<'e, Database = Any>,
) -> Result<Vec<ErasureRequest>, RegistryError> {
    let rows = sqlx::query("SELECT document FROM erasures ORDER BY id")
        .fetch_all(executor)
        .await?;
    rows.iter()
        .map(|row| from_json(WHAT, row.try_get(0)?))
        .collect()
}

impl SqlCatalog {
    pub(super) async fn one_erasure(
        &self,
        id: ErasureId,
    ) -> Result<Option<ErasureRequest>, RegistryError> {
        let row = sqlx::query("SELECT document FROM erasures WHERE id = $1")
            .bind(id.get())
            .fetch_optional(self.pool())
            .await?;
        row.map(|row| from_json(WHAT, row.try_get(0)?)).transpose()
    }

    pub(super) async fn erasures_of(
        &self,
        page: &ErasurePage,
    ) -> Result<Vec<ErasureRequest>, RegistryError> {
        let mut conditions = Vec::new();
        if page.due_before.is_some() {
            conditions.push("pending = 1 AND deadline < $1".to_owned());
        } else {
            // All databases want every parameter used.
            conditions.push("$1 = $1".to_owned());
        }
        if ErasureState::is_every_open(&page.states) {
            conditions.push("pending = 1".to_owned());
        } else if !page.states.is_empty() {
            let names: Vec<String> = page.states.iter().map(|s| format!("'{s}'")).collect();
            conditions.push(format!("state IN ({})", names.join(", ")));
        } else if page.order == ErasureOrder::Deadline {
            // All of them, said so that the index over deadlines is used: of 100,000 requests, SQLite sorted
            // every one for each page.
            conditions.push("pending IN (0, 1)".to_owned());
        }
        let (after, order) = match page.order {
            ErasureOrder::Deadline => (
                "(deadline > $2 OR (deadline = $2 AND id > $3))",
                "deadline, id",
            ),
            ErasureOrder::Newest => ("$2 = $2 AND id < $3", "id DESC"),
        };
        conditions.push(after.to_owned());
        let text = format!(
            "SELECT document FROM erasures WHERE {} ORDER BY {order} LIMIT $4",
            conditions.join(" AND ")
        );
        let (deadline, id) = match (page.after, page.order) {
            (Some(id), _) => (self.deadline_of(id).await?, id.get()),
            (None, ErasureOrder::Deadline) => (i64::MIN, 0),
            (None, ErasureOrder::Newest) => (0, i64::MAX),
        };
        let due = page.due_before.unwrap_or_default();
        let rows = sqlx::query(AssertSqlSafe(text))
            .bind(as_time(due))
            .bind(deadline)
            .bind(id)
            .bind(i64::from(page.limit))
            .fetch_all(self.pool())
            .await?;
        rows.iter()
            .map(|row| from_json(WHAT, row.try_get(0)?))
            .collect()
    }

    async fn deadline_of(&self, id: ErasureId) -> Result<i64, RegistryError> {
        let row = sqlx::query("SELECT deadline FROM erasures WHERE id = $1")
            .bind(id.get())
            .fetch_optional(self.pool())
            .await?;
        Ok(row.ok_or(RegistryError::NoErasure(id))?.try_get(0)?)
    }

    pub(super) async fn counts_of_erasures(
        &self,
    ) -> Result<Vec<(ErasureState, u64)>, RegistryError> {
        let rows = sqlx::query("SELECT state, COUNT(*) FROM erasures GROUP BY state")
            .fetch_all(self.pool())
            .await?;
        rows.iter()
            .map(|row| {
                let state: &str = row.try_get(0)?;
                let state = state.parse().map_err(|reason| RegistryError::Document {
                    what: WHAT.into(),
                    reason,
                })?;
                Ok((state, row.try_get::<i64, _>(1)?.unsigned_abs()))
            })
            .collect()
    }

    pub(super) async fn count_of_overdue(&self, time: u64) -> Result<u64, RegistryError> {
        let text = "SELECT COUNT(*) FROM erasures WHERE pending = 1 AND deadline < $1";
        let query = sqlx::query_scalar(text).bind(as_time(time));
        let count: i64 = query.fetch_one(self.pool()).await?;
        Ok(count.unsigned_abs())
    }

    pub(super) async fn history_of_erasure(
        &self,
        id: ErasureId,
    ) -> Result<Vec<OperationRow>, RegistryError> {
        let text = format!(
            "{OPERATION} WHERE id IN (SELECT operation FROM erasure_operations WHERE erasure = $1) \
             ORDER BY id"
        );
        let rows = sqlx::query(AssertSqlSafe(text))
            .bind(id.get())
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(operation).collect()
    }

    pub(super) async fn erasure_by_operation(
        &self,
        number: OperationId,
    ) -> Result<Option<ErasureId>, RegistryError> {
        let row = sqlx::query("SELECT erasure FROM erasure_operations WHERE operation = $1")
            .bind(number.get())
            .fetch_optional(self.pool())
            .await?;
        Ok(row
            .map(|row| row.try_get(0).map(ErasureId::new))
            .transpose()?)
    }

    pub(super) async fn hold(&self, run: ErasureRun, until: u64) -> Result<bool, RegistryError> {
        let text = "UPDATE erasures SET lease = $1 WHERE id = $2 AND run = $3";
        let done = sqlx::query(text)
            .bind(as_time(until))
            .bind(run.request.get())
            .bind(run.started.get())
            .execute(self.pool())
            .await?;
        Ok(done.rows_affected() == 1)
    }
}

impl Writer {
    /// An operation as it is logged: a request that is filed has its number, and an approval says what the
    /// registry asks for at this moment.
    pub(super) async fn numbered<'o>(
        &mut self,
        operation: &'o Operation,
    ) -> Result<Cow<'o, Operation>, RegistryError> {
        let OperationRecord::Erasure(record) = &operation.record else {
            return Ok(Cow::Borrowed(operation));
        };
        let mut record = record.clone();
        let ErasureRecord { request, step } = record.as_mut();
        match step {
            ErasureStep::New(_) => {
                let last: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(id), 0) FROM erasures")
                    .fetch_one(&mut *self.transaction)
                    .await?;
                *request = ErasureId::new(last + 1);
            }
            ErasureStep::Approve { four_eyes } => {
                let row = sqlx::query("SELECT value FROM settings WHERE name = $1")
                    .bind(FOUR_EYES)
                    .fetch_optional(&mut *self.transaction)
                    .await?;
                let value: Option<String> = row.map(|row| row.try_get(0)).transpose()?;
                *four_eyes = value.as_deref() == Some(ON);
            }
            ErasureStep::Cancel { run, job, .. } => {
                let (erasure, ..) = self.erasure(*request).await?;
                (*run, *job) = (erasure.is_being_run(), self.open_job(*request).await?);
                if !*run && job.is_none() {
                    return Err(RegistryError::Refused {
                        request: *request,
                        step: StepKind::Cancel,
                        reason: ErasureRefusal::Idle,
                    });
                }
            }
            _ => {}
        }
        let record = OperationRecord::Erasure(record);
        Ok(Cow::Owned(Operation::new(operation.time, record)))
    }

    /// Takes the step of the erasure request that an operation concerns, if it does.
    pub(super) async fn concern(
        &mut self,
        record: &OperationRecord,
        row: &OperationRow,
        seen: Option<OperationId>,
    ) -> Result<(), RegistryError> {
        let Some((id, concern)) = concern_of(record) else {
            return Ok(());
        };
        let refused = |reason| RegistryError::Refused {
            request: id,
            step: concern.kind(),
            reason,
        };
        let stamp = Stamp::from_row(row);
        let (before, state) = if let Concern::Step(ErasureStep::New(filing)) = concern {
            let erasure = ErasureRequest::new(id, filing, stamp).map_err(refused)?;
            self.insert_erasure(&erasure).await?;
            (None, erasure.state)
        } else {
            let (mut erasure, run, lease) = self.erasure(id).await?;
            if seen.is_some_and(|seen| seen != erasure.last.operation) {
                let by = erasure.last.operation;
                return Err(refused(ErasureRefusal::Changed { by }));
            }
            let begins = matches!(concern, Concern::Step(ErasureStep::Run { .. }));
            if let Concern::Step(ErasureStep::Run { taken_over: false }) = concern
                && let Some(claimed) = claimed(&erasure, lease)
            {
                return Err(refused(claimed));
            }
            let before = erasure.state;
            erasure.apply(concern, stamp).map_err(refused)?;
            let (run, lease) = match (begins, erasure.state) {
                (true, _) => (row.id.get(), as_time(now()).saturating_add(LEASE)),
                // A run that is published is judged by the process that began it.
                (false, ErasureState::Running) => (run, lease),
                (false, _) => (0, 0),
            };
            self.update_erasure(&erasure, run, lease).await?;
            if let Concern::Step(ErasureStep::Cancel { reason, .. }) = concern {
                let said = cancelled(&row.actor, reason.as_deref());
                self.cancel_jobs(id, &said).await?;
            }
            (Some(before), erasure.state)
        };
        let text = "INSERT INTO erasure_operations (operation, erasure, state) VALUES ($1, $2, $3)";
        sqlx::query(text)
            .bind(row.id.get())
            .bind(id.get())
            .bind(state.name())
            .execute(&mut *self.transaction)
            .await?;
        match before == Some(state) {
            true => Ok(()),
            false => self.tell(row.id, id, before, state).await,
        }
    }

    /// A request with its run and the end of its lease.
    async fn erasure(
        &mut self,
        id: ErasureId,
    ) -> Result<(ErasureRequest, i64, i64), RegistryError> {
        let row = sqlx::query("SELECT document, run, lease FROM erasures WHERE id = $1")
            .bind(id.get())
            .fetch_optional(&mut *self.transaction)
            .await?;
        let row = row.ok_or(RegistryError::NoErasure(id))?;
        let erasure = from_json(WHAT, row.try_get(0)?)?;
        Ok((erasure, row.try_get(1)?, row.try_get(2)?))
    }

    async fn insert_erasure(&mut self, erasure: &ErasureRequest) -> Result<(), RegistryError> {
        let text = "INSERT INTO erasures (id, state, pending, deadline, document)
                    VALUES ($1, $2, $3, $4, $5)";
        sqlx::query(text)
            .bind(erasure.id.get())
            .bind(erasure.state.name())
            .bind(i64::from(erasure.state.is_open()))
            .bind(as_time(erasure.deadline))
            .bind(to_json(WHAT, erasure)?)
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    async fn update_erasure(
        &mut self,
        erasure: &ErasureRequest,
        run: i64,
        lease: i64,
    ) -> Result<(), RegistryError> {
        let text = "UPDATE erasures SET state = $1, pending = $2, deadline = $3, run = $4, lease = $5, \
                    document = $6 WHERE id = $7";
        sqlx::query(text)
            .bind(erasure.state.name())
            .bind(i64::from(erasure.state.is_open()))
            .bind(as_time(erasure.deadline))
            .bind(run)
            .bind(lease)
            .bind(to_json(WHAT, erasure)?)
            .bind(erasure.id.get())
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }
}

/// Why a request cannot be run: somebody does, whose lease is not over.
fn claimed(erasure: &ErasureRequest, lease: i64) -> Option<ErasureRefusal> {
    let run = erasure.run.as_ref()?;
    let held = erasure.state == ErasureState::Running && lease > as_time(now());
    // What was published already is another matter, and told as such.
    (held && erasure.published_by_run().is_none()).then(|| ErasureRefusal::Claimed {
        by: run.by.clone(),
        until: lease.unsigned_abs(),
    })
}
