//! What changes a catalog.

use std::collections::BTreeMap;

use sqlx::{Any, AssertSqlSafe, Row, Transaction, raw_sql};
use umig::{ModelId, Relation};

use crate::cards::row::CardRow;
use crate::catalog::publication::Publication;
use crate::catalog::rows::{Draft, NewModel};
use crate::catalog::sql::batch::{
    Bound, FEW, bind_ids, first_gone, is_sqlite, named, places, rows,
};
use crate::catalog::sql::json::to_json;
use crate::error::RegistryError;
use crate::ids::OperationId;
use crate::log::entry::OperationRow;
use crate::time::now;

/// A write transaction.
pub(super) struct Writer {
    pub(super) transaction: Transaction<'static, Any>,
}

/// An entry that was written to the log.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) id: OperationId,
    hash: String,
}

impl Writer {
    /// Whether the log has this very entry.
    pub(super) async fn has(&mut self, entry: &Entry) -> Result<bool, RegistryError> {
        let known: i64 =
            sqlx::query_scalar("SELECT COUNT(*) FROM operations WHERE id = $1 AND hash = $2")
                .bind(entry.id.get())
                .bind(&entry.hash)
                .fetch_one(&mut *self.transaction)
                .await?;
        Ok(known == 1)
    }

    /// Does all of a publication, up to the commit.
    pub(super) async fn publish(
        &mut self,
        publication: &Publication,
        actor: &str,
    ) -> Result<Entry, RegistryError> {
        let last = raw_sql("SELECT id, hash FROM operations ORDER BY id DESC LIMIT 1")
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
        let unsuperseded = "SET superseded = 0, superseded_by = 0";
        self.change(
            &publication.restored,
            unsuperseded,
            "superseded = 1 AND purged = 0",
        )
        .await?;
        self.insert(&publication.models).await?;
        let superseded = format!("SET superseded = 1, superseded_by = {}", row.id.get());
        self.change(&publication.superseded, &superseded, "superseded = 0")
            .await?;
        self.change(
            &publication.purged,
            "SET purged = 1",
            "superseded = 1 AND purged = 0",
        )
        .await?;
        for card in &publication.dropped_cards {
            sqlx::query("DELETE FROM cards WHERE model = $1 AND estimator = $2")
                .bind(card.model.to_string())
                .bind(&card.estimator)
                .execute(&mut *self.transaction)
                .await?;
        }
        self.keep_cards(&publication.cards).await?;
        for request in &publication.finished {
            sqlx::query("DELETE FROM drafts WHERE request = $1")
                .bind(request)
                .execute(&mut *self.transaction)
                .await?;
        }
        self.log(&row).await?;
        self.concern(&operation.record, &row, publication.seen)
            .await?;
        Ok(Entry {
            id: row.id,
            hash: row.hash,
        })
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

    async fn insert(&mut self, models: &[NewModel]) -> Result<(), RegistryError> {
        let is_sqlite = is_sqlite(&self.transaction);
        for models in models.chunks(rows(4, is_sqlite)) {
            // What is there already is told by what does not come back: a look before would be two round trips more.
            let text = format!(
                "INSERT INTO models (name, version, manifest, vertex) VALUES {}
                 ON CONFLICT (name, version) DO NOTHING RETURNING name, version",
                places(models.len(), 4, is_sqlite)
            );
            let mut query = sqlx::query(AssertSqlSafe(text));
            for NewModel { row, .. } in models {
                query = query
                    .bind(row.vertex.id.name())
                    .bind(i64::from(row.vertex.id.version()))
                    .bind(row.manifest.to_string())
                    .bind(to_json("vertex", &row.vertex)?);
            }
            let inserted = named(&query.fetch_all(&mut *self.transaction).await?)?;
            if inserted.len() < models.len() {
                let mut ids = models.iter().map(|new| &new.row.vertex.id);
                return Err(RegistryError::Conflict(
                    match ids.find(|id| !inserted.contains(*id)) {
                        Some(id) => format!("`{id}` exists already"),
                        None => "a version is named twice".into(),
                    },
                ));
            }
        }
        self.connect(models).await
    }

    async fn connect(&mut self, models: &[NewModel]) -> Result<(), RegistryError> {
        let edges = models.iter().flat_map(|new| {
            let child = &new.row.vertex.id;
            new.parents
                .iter()
                .map(move |(parent, how)| (parent, child, how))
        });
        let edges: Vec<(&ModelId, &ModelId, &Relation)> = edges.collect();
        let parents: Vec<ModelId> = edges.iter().map(|(parent, ..)| (*parent).clone()).collect();
        if let Some(gone) = first_gone(&mut self.transaction, &parents).await? {
            let child = edges.iter().find(|(parent, ..)| **parent == gone);
            let child = child
                .map(|(_, child, _)| child.to_string())
                .unwrap_or_default();
            return Err(RegistryError::Conflict(format!(
                "`{gone}`, a parent of `{child}`, is gone"
            )));
        }
        let is_sqlite = is_sqlite(&self.transaction);
        for edges in edges.chunks(rows(3, is_sqlite)) {
            let text = format!(
                "INSERT INTO edges (child, parent, relation) VALUES {}",
                places(edges.len(), 3, is_sqlite)
            );
            let mut query = sqlx::query(AssertSqlSafe(text));
            for (parent, child, relation) in edges {
                query = query
                    .bind(child.to_string())
                    .bind(parent.to_string())
                    .bind(to_json("relation", relation)?);
            }
            query.execute(&mut *self.transaction).await?;
        }
        Ok(())
    }

    /// Changes versions that are still in the state they are taken for.
    async fn change(
        &mut self,
        ids: &[ModelId],
        set: &str,
        condition: &str,
    ) -> Result<(), RegistryError> {
        let is_sqlite = is_sqlite(&self.transaction);
        for ids in ids.chunks(rows(2, is_sqlite)) {
            let places = places(ids.len(), 2, is_sqlite);
            let text = format!(
                "UPDATE models {set} WHERE {condition} AND (name, version) IN (VALUES {places})
                 RETURNING name, version"
            );
            let query = bind_ids(sqlx::query(AssertSqlSafe(text)), ids);
            let changed = named(&query.fetch_all(&mut *self.transaction).await?)?;
            if let Some(id) = ids.iter().find(|id| !changed.contains(*id)) {
                return Err(RegistryError::Conflict(format!(
                    "`{id}` is no longer what it was"
                )));
            }
        }
        Ok(())
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

    async fn keep_cards(&mut self, cards: &[CardRow]) -> Result<(), RegistryError> {
        // A statement may change a row once only: of several cards the last one counts.
        let of = |card: &CardRow| (card.model, card.estimator.clone());
        let last: BTreeMap<_, usize> = cards
            .iter()
            .enumerate()
            .map(|(at, card)| (of(card), at))
            .collect();
        let is_last = |(at, card): &(usize, &CardRow)| last.get(&of(card)) == Some(at);
        let cards: Vec<&CardRow> = cards
            .iter()
            .enumerate()
            .filter(is_last)
            .map(|(_, card)| card)
            .collect();
        let is_sqlite = is_sqlite(&self.transaction);
        for cards in cards.chunks(rows(3, is_sqlite)) {
            let text = format!(
                "INSERT INTO cards (model, estimator, blob) VALUES {}
                 ON CONFLICT (model, estimator) DO UPDATE SET blob = excluded.blob",
                places(cards.len(), 3, is_sqlite)
            );
            let mut query = sqlx::query(AssertSqlSafe(text));
            for card in cards {
                query = query
                    .bind(card.model.to_string())
                    .bind(&card.estimator)
                    .bind(card.blob.to_string());
            }
            query.execute(&mut *self.transaction).await?;
        }
        Ok(())
    }
}

/// The statements that keep finished tasks.
pub(super) fn draft_statements<'q>(
    request: &'q str,
    drafts: &'q [Draft],
    is_sqlite: bool,
) -> Result<Vec<Bound<'q>>, RegistryError> {
    let last: BTreeMap<&str, &Draft> = drafts
        .iter()
        .map(|draft| (&draft.task[..], draft))
        .collect();
    let drafts: Vec<&Draft> = last.into_values().collect();
    let statement = |drafts: &[&'q Draft]| {
        let text = format!(
            "INSERT INTO drafts (request, task, time, value, blobs) VALUES {}
             ON CONFLICT (request, task) DO UPDATE
             SET time = excluded.time, value = excluded.value, blobs = excluded.blobs",
            places(drafts.len(), 5, is_sqlite)
        );
        let mut query = sqlx::query(AssertSqlSafe(text));
        for draft in drafts {
            query = query
                .bind(request)
                .bind(&draft.task)
                .bind(now() as i64)
                .bind(&draft.value)
                .bind(to_json("draft", &draft.blobs)?);
        }
        Ok(query)
    };
    drafts.chunks(FEW).map(statement).collect()
}
