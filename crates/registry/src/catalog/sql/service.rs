//! What a server keeps, in the database.

use sqlx::any::AnyRow;
use sqlx::{Any, Row, Transaction};

use crate::catalog::sql::pool::SqlCatalog;
use crate::catalog::sql::write::Writer;
use crate::crash;
use crate::error::RegistryError;
use crate::ids::ErasureId;
use crate::service::answer::KeptAnswer;
use crate::service::job::{Job, JobState};
use crate::service::token::AccessToken;
use crate::time::now;

const TOKEN: &str =
    "SELECT id, hash, name, role, created_by, created, expires, revoked, used FROM access_tokens";

const JOB: &str = "SELECT id, erasure, kind, actor, state, filed, ended, said FROM jobs";

/// The jobs that a worker may take, with the time as the first parameter.
const FREE: &str = "(state = 'waiting' OR (state = 'taken' AND lease < $1))";

impl SqlCatalog {
    pub(super) async fn insert_token(&self, token: &AccessToken) -> Result<i64, RegistryError> {
        let mut transaction = self.begin().await?;
        let id = next(
            &mut transaction,
            "SELECT COALESCE(MAX(id), 0) FROM access_tokens",
        )
        .await?;
        let text = "INSERT INTO access_tokens (id, hash, name, role, created_by, created, expires) \
                    VALUES ($1, $2, $3, $4, $5, $6, $7)";
        sqlx::query(text)
            .bind(id)
            .bind(&token.hash)
            .bind(&token.name)
            .bind(&token.role)
            .bind(&token.created_by)
            .bind(as_time(token.created))
            .bind(as_time(token.expires))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(id)
    }

    pub(super) async fn all_tokens(&self) -> Result<Vec<AccessToken>, RegistryError> {
        let text = sqlx::AssertSqlSafe(format!("{TOKEN} ORDER BY id"));
        let rows = sqlx::query(text).fetch_all(self.pool()).await?;
        rows.iter().map(token).collect()
    }

    pub(super) async fn token_with(
        &self,
        hash: &str,
    ) -> Result<Option<AccessToken>, RegistryError> {
        let text = sqlx::AssertSqlSafe(format!("{TOKEN} WHERE hash = $1"));
        let row = sqlx::query(text)
            .bind(hash)
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(token).transpose()
    }

    pub(super) async fn end_token(&self, id: i64, time: u64) -> Result<bool, RegistryError> {
        let text = "UPDATE access_tokens SET revoked = $1 WHERE id = $2 AND revoked = 0";
        let query = sqlx::query(text).bind(as_time(time)).bind(id);
        Ok(query.execute(self.pool()).await?.rows_affected() == 1)
    }

    pub(super) async fn mark_token(&self, id: i64, time: u64) -> Result<(), RegistryError> {
        let text = "UPDATE access_tokens SET used = $1 WHERE id = $2 AND used < $1";
        let query = sqlx::query(text).bind(as_time(time)).bind(id);
        query.execute(self.pool()).await?;
        Ok(())
    }

    /// Files a job, unless one of the same request is open.
    pub(super) async fn insert_job(&self, job: &Job) -> Result<Option<i64>, RegistryError> {
        let mut transaction = self.begin().await?;
        let open = "SELECT COUNT(*) FROM jobs WHERE erasure = $1 AND state IN ('waiting', 'taken')";
        let open: i64 = sqlx::query_scalar(open)
            .bind(job.erasure.get())
            .fetch_one(&mut *transaction)
            .await?;
        if open > 0 {
            return Ok(None);
        }
        let id = next(&mut transaction, "SELECT COALESCE(MAX(id), 0) FROM jobs").await?;
        let text = "INSERT INTO jobs (id, erasure, kind, actor, state, filed) \
                    VALUES ($1, $2, $3, $4, $5, $6)";
        sqlx::query(text)
            .bind(id)
            .bind(job.erasure.get())
            .bind(job.kind.to_string())
            .bind(&job.actor)
            .bind(JobState::Waiting.to_string())
            .bind(as_time(job.filed))
            .execute(&mut *transaction)
            .await?;
        crash::point("job filed before commit");
        transaction.commit().await?;
        crash::point("job filed after commit");
        Ok(Some(id))
    }

    pub(super) async fn jobs_for(&self, erasure: ErasureId) -> Result<Vec<Job>, RegistryError> {
        let text = sqlx::AssertSqlSafe(format!("{JOB} WHERE erasure = $1 ORDER BY id"));
        let rows = sqlx::query(text)
            .bind(erasure.get())
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(job).collect()
    }

    pub(super) async fn jobs_since(&self, since: u64) -> Result<Vec<Job>, RegistryError> {
        let text = sqlx::AssertSqlSafe(format!(
            "{JOB} WHERE state IN ('waiting', 'taken') OR ended >= $1 ORDER BY id"
        ));
        // What has not ended has 0 there.
        let rows = sqlx::query(text)
            .bind(as_time(since.max(1)))
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(job).collect()
    }

    /// Takes the oldest job that waits, or whose server has not been heard of; one worker gets it. All that are idle
    /// look every second: they must not keep each other or those who write waiting.
    pub(super) async fn take(
        &self,
        worker: &str,
        now: u64,
        until: u64,
    ) -> Result<Option<Job>, RegistryError> {
        let text = format!("SELECT COUNT(*) FROM jobs WHERE {FREE}");
        let free: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(text))
            .bind(as_time(now))
            .fetch_one(self.pool())
            .await?;
        if free == 0 {
            return Ok(None);
        }
        let (mut transaction, alone) = self.begin_with_rows().await?;
        let text = format!("{JOB} WHERE {FREE} ORDER BY id LIMIT 1 {alone}");
        let found = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(as_time(now))
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(mut taken) = found.as_ref().map(job).transpose()? else {
            return Ok(None);
        };
        sqlx::query("UPDATE jobs SET state = 'taken', worker = $1, lease = $2 WHERE id = $3")
            .bind(worker)
            .bind(as_time(until))
            .bind(taken.id)
            .execute(&mut *transaction)
            .await?;
        crash::point("job taken before commit");
        transaction.commit().await?;
        crash::point("job taken after commit");
        taken.state = JobState::Taken;
        Ok(Some(taken))
    }

    pub(super) async fn keep_taken(
        &self,
        id: i64,
        worker: &str,
        until: u64,
        said: &str,
    ) -> Result<bool, RegistryError> {
        let text = "UPDATE jobs SET lease = $1, said = $2 \
                    WHERE id = $3 AND worker = $4 AND state = 'taken'";
        let query = sqlx::query(text)
            .bind(as_time(until))
            .bind(said)
            .bind(id)
            .bind(worker);
        Ok(query.execute(self.pool()).await?.rows_affected() == 1)
    }

    pub(super) async fn leave(
        &self,
        id: i64,
        worker: &str,
        state: JobState,
        said: &str,
        time: u64,
    ) -> Result<bool, RegistryError> {
        let text = "UPDATE jobs SET state = $1, said = $2, ended = $3, lease = 0 \
                    WHERE id = $4 AND worker = $5 AND state = 'taken'";
        let ended = if state.is_open() { 0 } else { as_time(time) };
        let query = sqlx::query(text)
            .bind(state.to_string())
            .bind(said)
            .bind(ended);
        let query = query.bind(id).bind(worker);
        crash::point("job left before commit");
        let done = query.execute(self.pool()).await?;
        crash::point("job left after commit");
        Ok(done.rows_affected() == 1)
    }

    pub(super) async fn first_answer(
        &self,
        name: &str,
        asked: &str,
        time: u64,
    ) -> Result<KeptAnswer, RegistryError> {
        let text = "INSERT INTO answers (name, asked, time) VALUES ($1, $2, $3) \
                    ON CONFLICT (name) DO NOTHING";
        let query = sqlx::query(text).bind(name).bind(asked).bind(as_time(time));
        if query.execute(self.pool()).await?.rows_affected() == 1 {
            return Ok(KeptAnswer::New);
        }
        let row = sqlx::query("SELECT asked, status, body FROM answers WHERE name = $1")
            .bind(name)
            .fetch_one(self.pool())
            .await?;
        let (asked, status) = (row.try_get(0)?, row.try_get::<i64, _>(1)?);
        Ok(match u16::try_from(status).unwrap_or_default() {
            0 => KeptAnswer::Open { asked },
            status => KeptAnswer::Given {
                asked,
                status,
                body: row.try_get(2)?,
            },
        })
    }

    pub(super) async fn keep_given(
        &self,
        name: &str,
        status: u16,
        body: &str,
    ) -> Result<(), RegistryError> {
        let query = sqlx::query("UPDATE answers SET status = $1, body = $2 WHERE name = $3");
        let query = query.bind(i64::from(status)).bind(body).bind(name);
        query.execute(self.pool()).await?;
        Ok(())
    }

    pub(super) async fn forget_answer(&self, name: &str) -> Result<(), RegistryError> {
        let query = sqlx::query("DELETE FROM answers WHERE name = $1").bind(name);
        query.execute(self.pool()).await?;
        Ok(())
    }

    pub(super) async fn forget_answers(&self, before: u64) -> Result<(), RegistryError> {
        let query = sqlx::query("DELETE FROM answers WHERE time < $1").bind(as_time(before));
        query.execute(self.pool()).await?;
        Ok(())
    }
}

impl Writer {
    /// The job of a request that waits or is worked on, if there is one.
    pub(super) async fn open_job(
        &mut self,
        erasure: ErasureId,
    ) -> Result<Option<i64>, RegistryError> {
        let text = "SELECT id FROM jobs WHERE erasure = $1 AND state IN ('waiting', 'taken')";
        let row = sqlx::query(text)
            .bind(erasure.get())
            .fetch_optional(&mut *self.transaction)
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// Ends the job of a request that waits or is worked on.
    pub(super) async fn cancel_jobs(
        &mut self,
        erasure: ErasureId,
        said: &str,
    ) -> Result<(), RegistryError> {
        let text = "UPDATE jobs SET state = $1, said = $2, ended = $3, lease = 0 \
                    WHERE erasure = $4 AND state IN ('waiting', 'taken')";
        sqlx::query(text)
            .bind(JobState::Cancelled.to_string())
            .bind(said)
            .bind(as_time(now()))
            .bind(erasure.get())
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }
}

pub(super) async fn next(
    transaction: &mut Transaction<'static, Any>,
    last: &'static str,
) -> Result<i64, RegistryError> {
    let last: i64 = sqlx::query_scalar(last)
        .fetch_one(&mut **transaction)
        .await?;
    Ok(last + 1)
}

fn token(row: &AnyRow) -> Result<AccessToken, RegistryError> {
    Ok(AccessToken {
        id: row.try_get(0)?,
        hash: row.try_get(1)?,
        name: row.try_get(2)?,
        role: row.try_get(3)?,
        created_by: row.try_get(4)?,
        created: time(row, 5)?,
        expires: time(row, 6)?,
        revoked: Some(time(row, 7)?).filter(|time| *time > 0),
        used: Some(time(row, 8)?).filter(|time| *time > 0),
    })
}

fn job(row: &AnyRow) -> Result<Job, RegistryError> {
    Ok(Job {
        id: row.try_get(0)?,
        erasure: ErasureId::new(row.try_get(1)?),
        kind: word(row, 2)?,
        actor: row.try_get(3)?,
        state: word(row, 4)?,
        filed: time(row, 5)?,
        ended: Some(time(row, 6)?).filter(|time| *time > 0),
        said: row.try_get(7)?,
    })
}

fn word<T: std::str::FromStr<Err = String>>(row: &AnyRow, at: usize) -> Result<T, RegistryError> {
    let text: String = row.try_get(at)?;
    text.parse().map_err(|reason| RegistryError::Document {
        what: "job".into(),
        reason,
    })
}

pub(super) fn time(row: &AnyRow, at: usize) -> Result<u64, RegistryError> {
    Ok(row.try_get::<i64, _>(at)?.unsigned_abs())
}

/// A time as the database keeps it.
pub(super) fn as_time(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds).unwrap_or(i64::MAX)
}
