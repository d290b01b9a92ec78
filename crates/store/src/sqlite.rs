//! The catalog in SQLite.

use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Row, Sqlite, Transaction};
use umig::{Model, ModelId, Relation};

use crate::catalog::Answer;
use crate::{
    CardRow, Catalog, Digest, ModelRow, NewModel, Operation, OperationRow, Publication, StoreError,
};

/// How long a writer waits for another one.
const PATIENCE: Duration = Duration::from_secs(30);

/// A catalog in one SQLite file, or in memory.
pub(crate) struct SqliteCatalog {
    pool: SqlitePool,
}

impl SqliteCatalog {
    /// Opens or makes the file and brings its tables up to date.
    pub(crate) async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(PATIENCE);
        Self::connect(SqlitePoolOptions::new().max_connections(4), options).await
    }

    /// A catalog in memory.
    pub(crate) async fn in_memory() -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .in_memory(true)
            .foreign_keys(true);
        // One connection that is never closed: each has a memory of its own.
        let pool = SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None);
        Self::connect(pool, options).await
    }

    async fn connect(
        pool: SqlitePoolOptions,
        options: SqliteConnectOptions,
    ) -> Result<Self, StoreError> {
        let pool = pool.connect_with(options).await?;
        sqlx::migrate!("./migrations")
            .run(&pool)
            .await
            .map_err(|error| StoreError::Document {
                what: "catalog".into(),
                reason: error.to_string(),
            })?;
        Ok(Self { pool })
    }

    async fn insert(
        &self,
        transaction: &mut Transaction<'static, Sqlite>,
        publication: &Publication,
    ) -> Result<i64, StoreError> {
        for model in &publication.models {
            insert_model(transaction, model).await?;
        }
        for id in &publication.superseded {
            sqlx::query("UPDATE models SET superseded = 1 WHERE name = ? AND version = ?")
                .bind(id.name())
                .bind(i64::from(id.version()))
                .execute(&mut **transaction)
                .await?;
        }
        for card in &publication.cards {
            sqlx::query(
                "INSERT INTO cards (model, estimator, blob) VALUES (?, ?, ?)
                 ON CONFLICT (model, estimator) DO UPDATE SET blob = excluded.blob",
            )
            .bind(card.model.to_string())
            .bind(&card.estimator)
            .bind(card.blob.to_string())
            .execute(&mut **transaction)
            .await?;
        }
        let operation = &publication.operation;
        let done = sqlx::query("INSERT INTO operations (time, command, detail) VALUES (?, ?, ?)")
            .bind(operation.time as i64)
            .bind(&operation.command)
            .bind(operation.detail.to_string())
            .execute(&mut **transaction)
            .await?;
        Ok(done.last_insert_rowid())
    }
}

async fn insert_model(
    transaction: &mut Transaction<'static, Sqlite>,
    model: &NewModel,
) -> Result<(), StoreError> {
    let id = &model.row.vertex.id;
    let inserted =
        sqlx::query("INSERT INTO models (name, version, manifest, vertex) VALUES (?, ?, ?, ?)")
            .bind(id.name())
            .bind(i64::from(id.version()))
            .bind(model.row.manifest.to_string())
            .bind(to_json("vertex", &model.row.vertex)?)
            .execute(&mut **transaction)
            .await;
    match inserted {
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            return Err(StoreError::Conflict(id.to_string()));
        }
        other => other?,
    };
    for (parent, relation) in &model.parents {
        sqlx::query("INSERT INTO edges (child, parent, relation) VALUES (?, ?, ?)")
            .bind(id.to_string())
            .bind(parent.to_string())
            .bind(to_json("relation", relation)?)
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

impl Catalog for SqliteCatalog {
    fn models(&self) -> Answer<'_, Vec<ModelRow>> {
        Box::pin(async move {
            let rows =
                sqlx::query("SELECT vertex, manifest, superseded FROM models ORDER BY position")
                    .fetch_all(&self.pool)
                    .await?;
            rows.iter()
                .map(|row| {
                    let mut vertex: Model = from_json("vertex", row.try_get(0)?)?;
                    vertex.superseded = row.try_get::<i64, _>(2)? != 0;
                    let manifest = row.try_get::<&str, _>(1)?.parse()?;
                    Ok(ModelRow { vertex, manifest })
                })
                .collect()
        })
    }

    fn manifest<'a>(&'a self, id: &'a ModelId) -> Answer<'a, Option<Digest>> {
        Box::pin(async move {
            let row = sqlx::query("SELECT manifest FROM models WHERE name = ? AND version = ?")
                .bind(id.name())
                .bind(i64::from(id.version()))
                .fetch_optional(&self.pool)
                .await?;
            row.map(|row| row.try_get::<&str, _>(0)?.parse())
                .transpose()
        })
    }

    fn edges(&self) -> Answer<'_, Vec<(ModelId, ModelId, Relation)>> {
        Box::pin(async move {
            let rows = sqlx::query("SELECT parent, child, relation FROM edges ORDER BY position")
                .fetch_all(&self.pool)
                .await?;
            let id = |text: &str| {
                text.parse::<ModelId>()
                    .map_err(|error| StoreError::Document {
                        what: "edge".into(),
                        reason: error.to_string(),
                    })
            };
            rows.iter()
                .map(|row| {
                    let relation = from_json("relation", row.try_get(2)?)?;
                    Ok((id(row.try_get(0)?)?, id(row.try_get(1)?)?, relation))
                })
                .collect()
        })
    }

    fn cards(&self, model: Digest) -> Answer<'_, Vec<CardRow>> {
        Box::pin(async move {
            let rows = sqlx::query("SELECT estimator, blob FROM cards WHERE model = ?")
                .bind(model.to_string())
                .fetch_all(&self.pool)
                .await?;
            rows.iter()
                .map(|row| {
                    Ok(CardRow {
                        model,
                        estimator: row.try_get(0)?,
                        blob: row.try_get::<&str, _>(1)?.parse()?,
                    })
                })
                .collect()
        })
    }

    fn operations(&self) -> Answer<'_, Vec<OperationRow>> {
        Box::pin(async move {
            let rows = sqlx::query("SELECT id, time, command, detail FROM operations ORDER BY id")
                .fetch_all(&self.pool)
                .await?;
            rows.iter()
                .map(|row| {
                    Ok(OperationRow {
                        id: row.try_get(0)?,
                        operation: Operation {
                            time: row.try_get::<i64, _>(1)? as u64,
                            command: row.try_get(2)?,
                            detail: from_json("operation", row.try_get(3)?)?,
                        },
                    })
                })
                .collect()
        })
    }

    fn publish<'a>(&'a self, publication: &'a Publication) -> Answer<'a, i64> {
        Box::pin(async move {
            // IMMEDIATE takes the write lock at once: two writers wait for each other instead of
            // failing halfway.
            let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
            let number = self.insert(&mut transaction, publication).await?;
            transaction.commit().await?;
            Ok(number)
        })
    }
}

fn to_json<T: serde::Serialize>(what: &str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Document {
        what: what.into(),
        reason: error.to_string(),
    })
}

fn from_json<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Document {
        what: what.into(),
        reason: error.to_string(),
    })
}
