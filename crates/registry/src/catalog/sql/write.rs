//! What changes a catalog.

use sqlx::{Any, AssertSqlSafe, Row, Transaction};
use umig::{ModelId, Relation};

use crate::cards::row::CardRow;
use crate::catalog::publication::Publication;
use crate::catalog::rows::{Draft, NewModel};
use crate::catalog::sql::json::to_json;
use crate::error::RegistryError;
use crate::ids::OperationId;
use crate::log::entry::OperationRow;
use crate::time::now;

/// A write transaction.
pub(super) struct Writer {
    pub(super) transaction: Transaction<'static, Any>,
}

impl Writer {
    /// Does all of a publication, up to the commit.
    pub(super) async fn publish(
        &mut self,
        publication: &Publication,
        actor: &str,
    ) -> Result<OperationId, RegistryError> {
        let last = sqlx::query("SELECT id, hash FROM operations ORDER BY id DESC LIMIT 1")
            .fetch_optional(&mut *self.transaction)
            .await?
            .map(|row| {
                let number = OperationId::new(row.try_get(0)?);
                Ok::<_, RegistryError>((number, row.try_get(1)?))
            })
            .transpose()?;
        let operation = self.numbered(&publication.operation).await?;
        let row = OperationRow::after(last, actor, &operation, publication.made())?;
        // What is taken out first, so that its name is free.
        for id in &publication.removed {
            self.remove(id).await?;
        }
        for id in &publication.restored {
            self.change(
                id,
                "SET superseded = 0, superseded_by = 0",
                "superseded = 1 AND purged = 0",
                0,
            )
            .await?;
        }
        for model in &publication.models {
            self.insert(model).await?;
        }
        for id in &publication.superseded {
            let set = "SET superseded = 1, superseded_by = $3";
            self.change(id, set, "superseded = 0 AND $3 > 0", row.id.get())
                .await?;
        }
        for id in &publication.purged {
            self.change(id, "SET purged = 1", "superseded = 1 AND purged = 0", 0)
                .await?;
        }
        for card in &publication.dropped_cards {
            sqlx::query("DELETE FROM cards WHERE model = $1 AND estimator = $2")
                .bind(card.model.to_string())
                .bind(&card.estimator)
                .execute(&mut *self.transaction)
                .await?;
        }
        for card in &publication.cards {
            self.keep_card(card).await?;
        }
        for request in &publication.finished {
            sqlx::query("DELETE FROM drafts WHERE request = $1")
                .bind(request)
                .execute(&mut *self.transaction)
                .await?;
        }
        self.log(&row).await?;
        self.concern(&operation.record, &row, publication.seen)
            .await?;
        Ok(row.id)
    }

    async fn log(&mut self, row: &OperationRow) -> Result<(), RegistryError> {
        sqlx::query(
            "INSERT INTO operations (id, time, command, detail, actor, made, previous, hash)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(row.id.get())
        .bind(row.time as i64)
        .bind(&row.command)
        .bind(&row.stored.detail)
        .bind(&row.actor)
        .bind(&row.stored.made)
        .bind(&row.previous)
        .bind(&row.hash)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    async fn insert(&mut self, model: &NewModel) -> Result<(), RegistryError> {
        let id = &model.row.vertex.id;
        let inserted = sqlx::query(
            "INSERT INTO models (name, version, manifest, vertex) VALUES ($1, $2, $3, $4)",
        )
        .bind(id.name())
        .bind(i64::from(id.version()))
        .bind(model.row.manifest.to_string())
        .bind(to_json("vertex", &model.row.vertex)?)
        .execute(&mut *self.transaction)
        .await;
        match inserted {
            Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
                return Err(RegistryError::Conflict(format!("`{id}` exists already")));
            }
            other => other?,
        };
        for (parent, relation) in &model.parents {
            self.connect(parent, id, relation).await?;
        }
        Ok(())
    }

    async fn connect(
        &mut self,
        parent: &ModelId,
        child: &ModelId,
        relation: &Relation,
    ) -> Result<(), RegistryError> {
        let known: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM models WHERE name = $1 AND version = $2")
                .bind(parent.name())
                .bind(i64::from(parent.version()))
                .fetch_one(&mut *self.transaction)
                .await?;
        if known == 0 {
            return Err(RegistryError::Conflict(format!(
                "`{parent}`, a parent of `{child}`, is gone"
            )));
        }
        sqlx::query("INSERT INTO edges (child, parent, relation) VALUES ($1, $2, $3)")
            .bind(child.to_string())
            .bind(parent.to_string())
            .bind(to_json("relation", relation)?)
            .execute(&mut *self.transaction)
            .await?;
        Ok(())
    }

    /// Changes a version that is still in the state it is taken for.
    async fn change(
        &mut self,
        id: &ModelId,
        set: &str,
        condition: &str,
        number: i64,
    ) -> Result<(), RegistryError> {
        let text = format!("UPDATE models {set} WHERE name = $1 AND version = $2 AND {condition}");
        let mut query = sqlx::query(AssertSqlSafe(text))
            .bind(id.name())
            .bind(i64::from(id.version()));
        if number > 0 {
            query = query.bind(number);
        }
        let done = query.execute(&mut *self.transaction).await?;
        if done.rows_affected() == 1 {
            return Ok(());
        }
        Err(RegistryError::Conflict(format!(
            "`{id}` is no longer what it was"
        )))
    }

    async fn remove(&mut self, id: &ModelId) -> Result<(), RegistryError> {
        let children: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM edges WHERE parent = $1")
            .bind(id.to_string())
            .fetch_one(&mut *self.transaction)
            .await?;
        if children > 0 {
            return Err(RegistryError::Conflict(format!(
                "other versions inherit from `{id}`"
            )));
        }
        sqlx::query("DELETE FROM edges WHERE child = $1")
            .bind(id.to_string())
            .execute(&mut *self.transaction)
            .await?;
        let done = sqlx::query("DELETE FROM models WHERE name = $1 AND version = $2")
            .bind(id.name())
            .bind(i64::from(id.version()))
            .execute(&mut *self.transaction)
            .await?;
        if done.rows_affected() == 1 {
            return Ok(());
        }
        Err(RegistryError::Conflict(format!("`{id}` is gone")))
    }

    async fn keep_card(&mut self, card: &CardRow) -> Result<(), RegistryError> {
        sqlx::query(
            "INSERT INTO cards (model, estimator, blob) VALUES ($1, $2, $3)
             ON CONFLICT (model, estimator) DO UPDATE SET blob = excluded.blob",
        )
        .bind(card.model.to_string())
        .bind(&card.estimator)
        .bind(card.blob.to_string())
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }

    /// Keeps a finished task.
    pub(super) async fn keep_draft(
        &mut self,
        request: &str,
        draft: &Draft,
    ) -> Result<(), RegistryError> {
        sqlx::query(
            "INSERT INTO drafts (request, task, time, value, blobs) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (request, task) DO UPDATE
             SET time = excluded.time, value = excluded.value, blobs = excluded.blobs",
        )
        .bind(request)
        .bind(&draft.task)
        .bind(now() as i64)
        .bind(&draft.value)
        .bind(to_json("draft", &draft.blobs)?)
        .execute(&mut *self.transaction)
        .await?;
        Ok(())
    }
}
