//! What a catalog answers.

use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe, Executor, Row};
use umig::{Model, ModelId};

use super::{SqlCatalog, from_json};
use crate::catalog::{CardRow, ModelRow};
use crate::catalog::{Draft, Edge, Page, Snapshot, State};
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::operation::{Operation, OperationRow};

const MODEL: &str = "SELECT vertex, manifest, superseded, purged, superseded_by FROM models";
const OPERATION: &str =
    "SELECT id, time, command, detail, actor, made, previous, hash FROM operations ORDER BY id";

fn model(row: &AnyRow) -> Result<ModelRow, RegistryError> {
    let mut vertex: Model = from_json("vertex", row.try_get(0)?)?;
    vertex.superseded = row.try_get::<i64, _>(2)? != 0;
    Ok(ModelRow {
        vertex,
        manifest: row.try_get::<&str, _>(1)?.parse()?,
        purged: row.try_get::<i64, _>(3)? != 0,
        superseded_by: row.try_get(4)?,
    })
}

pub(super) async fn models<'e>(
    executor: impl Executor<'e, Database = Any>,
) -> Result<Vec<ModelRow>, RegistryError> {
    let text = format!("{MODEL} ORDER BY position");
    let rows = sqlx::query(AssertSqlSafe(text)).fetch_all(executor).await?;
    rows.iter().map(model).collect()
}

async fn edges<'e>(
    executor: impl Executor<'e, Database = Any>,
) -> Result<Vec<Edge>, RegistryError> {
    let rows = sqlx::query("SELECT parent, child, relation FROM edges ORDER BY position")
        .fetch_all(executor)
        .await?;
    rows.iter()
        .map(|row| {
            let relation = from_json("relation", row.try_get(2)?)?;
            Ok((id(row.try_get(0)?)?, id(row.try_get(1)?)?, relation))
        })
        .collect()
}

pub(super) async fn cards<'e>(
    executor: impl Executor<'e, Database = Any>,
    model: Option<Digest>,
) -> Result<Vec<CardRow>, RegistryError> {
    let which = if model.is_some() {
        "model = $1"
    } else {
        "$1 = ''"
    };
    let text = format!("SELECT model, estimator, blob FROM cards WHERE {which} ORDER BY position");
    let rows = sqlx::query(AssertSqlSafe(text))
        .bind(model.map(|digest| digest.to_string()).unwrap_or_default())
        .fetch_all(executor)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(CardRow {
                model: row.try_get::<&str, _>(0)?.parse()?,
                estimator: row.try_get(1)?,
                blob: row.try_get::<&str, _>(2)?.parse()?,
            })
        })
        .collect()
}

pub(super) async fn operations<'e>(
    executor: impl Executor<'e, Database = Any>,
) -> Result<Vec<OperationRow>, RegistryError> {
    let rows = sqlx::query(OPERATION).fetch_all(executor).await?;
    rows.iter()
        .map(|row| {
            let stored: [String; 2] = [row.try_get(3)?, row.try_get(5)?];
            Ok(OperationRow {
                id: row.try_get(0)?,
                operation: Operation {
                    time: row.try_get::<i64, _>(1)? as u64,
                    command: row.try_get(2)?,
                    detail: from_json("operation", &stored[0])?,
                },
                actor: row.try_get(4)?,
                made: from_json("operation", &stored[1])?,
                previous: row.try_get(6)?,
                hash: row.try_get(7)?,
                stored,
            })
        })
        .collect()
}

fn id(text: &str) -> Result<ModelId, RegistryError> {
    text.parse()
        .map_err(|error: umig::IdError| RegistryError::Document {
            what: "edge".into(),
            reason: error.to_string(),
        })
}

impl SqlCatalog {
    pub(super) async fn models_of(&self, page: &Page) -> Result<Vec<ModelRow>, RegistryError> {
        let state = match page.state {
            None => "",
            Some(State::Current) => "AND superseded = 0 AND purged = 0",
            Some(State::Superseded) => "AND superseded = 1 AND purged = 0",
            Some(State::Purged) => "AND purged = 1",
        };
        // By the index over names and versions. No character of a name is greater than the one that
        // ends the range.
        let text = format!(
            "{MODEL} WHERE (name > $1 OR (name = $1 AND version > $2)) AND name >= $3 AND name < $4 \
             {state} ORDER BY name, version LIMIT $5"
        );
        let (name, version) = page
            .after
            .as_ref()
            .map_or(("", 0), |after| (after.name(), i64::from(after.version())));
        let rows = sqlx::query(AssertSqlSafe(text))
            .bind(name)
            .bind(version)
            .bind(&page.prefix)
            .bind(format!("{}\u{10FFFF}", page.prefix))
            .bind(i64::from(page.limit))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(model).collect()
    }

    pub(super) async fn one_model(&self, id: &ModelId) -> Result<Option<ModelRow>, RegistryError> {
        let row = sqlx::query(AssertSqlSafe(format!(
            "{MODEL} WHERE name = $1 AND version = $2"
        )))
        .bind(id.name())
        .bind(i64::from(id.version()))
        .fetch_optional(&self.pool)
        .await?;
        row.as_ref().map(model).transpose()
    }

    pub(super) async fn everything(&self) -> Result<Snapshot, RegistryError> {
        let mut moment = self.moment().await?;
        Ok(Snapshot {
            models: models(&mut *moment).await?,
            edges: edges(&mut *moment).await?,
            cards: cards(&mut *moment, None).await?,
            operations: operations(&mut *moment).await?,
        })
    }

    pub(super) async fn models_and_edges(
        &self,
    ) -> Result<(Vec<ModelRow>, Vec<Edge>), RegistryError> {
        let mut moment = self.moment().await?;
        Ok((models(&mut *moment).await?, edges(&mut *moment).await?))
    }

    pub(super) async fn drafts_of(
        &self,
        request: Option<&str>,
    ) -> Result<Vec<Draft>, RegistryError> {
        let which = if request.is_some() {
            "request = $1"
        } else {
            "$1 = ''"
        };
        let text = format!("SELECT task, value, blobs FROM drafts WHERE {which} ORDER BY task");
        let rows = sqlx::query(AssertSqlSafe(text))
            .bind(request.unwrap_or_default())
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Draft {
                    task: row.try_get(0)?,
                    value: row.try_get(1)?,
                    blobs: from_json("draft", row.try_get(2)?)?,
                })
            })
            .collect()
    }

    pub(super) async fn setting_of(&self, name: &str) -> Result<Option<String>, RegistryError> {
        let row = sqlx::query("SELECT value FROM settings WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.pool)
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }
}
