//! Rows of the tables. A text without values takes one round trip less when it is sent as it is ([`raw_sql`]).

use sqlx::any::AnyRow;
use sqlx::{Any, AssertSqlSafe, Executor, Row, raw_sql};
use umig::{Model, ModelId};

use crate::cards::row::CardRow;
use crate::catalog::rows::{Edge, ManifestRow, ModelRow};
use crate::catalog::sql::json::from_json;
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::ids::OperationId;
use crate::log::entry::{OperationRow, Stored};

pub(super) const MODEL: &str =
    "SELECT vertex, manifest, superseded, purged, superseded_by FROM models";
pub(super) const OPERATION: &str =
    "SELECT id, time, command, detail, actor, made, previous, hash FROM operations";

pub(super) fn model(row: &AnyRow) -> Result<ModelRow, RegistryError> {
    let mut vertex: Model = from_json("vertex", row.try_get(0)?)?;
    vertex.superseded = row.try_get::<i64, _>(2)? != 0;
    Ok(ModelRow {
        vertex,
        manifest: row.try_get::<&str, _>(1)?.parse()?,
        purged: row.try_get::<i64, _>(3)? != 0,
        superseded_by: Some(row.try_get(4)?)
            .filter(|number| *number > 0)
            .map(OperationId::new),
    })
}

pub(super) async fn models<'e>(
    executor: impl Executor<'e, Database = Any>,
) -> Result<Vec<ModelRow>, RegistryError> {
    let text = format!("{MODEL} ORDER BY position");
    let rows = raw_sql(AssertSqlSafe(text)).fetch_all(executor).await?;
    rows.iter().map(model).collect()
}

pub(super) async fn manifests<'e>(
    executor: impl Executor<'e, Database = Any>,
) -> Result<Vec<ManifestRow>, RegistryError> {
    let rows = raw_sql("SELECT name, version, manifest, purged FROM models ORDER BY position")
        .fetch_all(executor)
        .await?;
    rows.iter()
        .map(|row| {
            let (name, version): (&str, i64) = (row.try_get(0)?, row.try_get(1)?);
            Ok(ManifestRow {
                id: id(&format!("{name}@{version}"))?,
                manifest: row.try_get::<&str, _>(2)?.parse()?,
                purged: row.try_get::<i64, _>(3)? != 0,
            })
        })
        .collect()
}

pub(super) async fn edges<'e>(
    executor: impl Executor<'e, Database = Any>,
) -> Result<Vec<Edge>, RegistryError> {
    let rows = raw_sql("SELECT parent, child, relation FROM edges ORDER BY position")
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
    const CARD: &str = "SELECT model, estimator, blob FROM cards";
    let rows = match model {
        None => {
            let text = format!("{CARD} ORDER BY position");
            raw_sql(AssertSqlSafe(text)).fetch_all(executor).await?
        }
        Some(digest) => {
            let text = format!("{CARD} WHERE model = $1 ORDER BY position");
            let query = sqlx::query(AssertSqlSafe(text)).bind(digest.to_string());
            query.fetch_all(executor).await?
        }
    };
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
    let text = format!("{OPERATION} ORDER BY id");
    let rows = sqlx::query(AssertSqlSafe(text)).fetch_all(executor).await?;
    rows.iter().map(operation).collect()
}

pub(super) fn operation(row: &AnyRow) -> Result<OperationRow, RegistryError> {
    let stored = Stored {
        detail: row.try_get(3)?,
        made: row.try_get(5)?,
    };
    Ok(OperationRow {
        id: OperationId::new(row.try_get(0)?),
        time: row.try_get::<i64, _>(1)? as u64,
        command: row.try_get(2)?,
        actor: row.try_get(4)?,
        made: from_json("operation", &stored.made)?,
        previous: row.try_get(6)?,
        hash: row.try_get(7)?,
        stored,
    })
}

pub(super) fn id(text: &str) -> Result<ModelId, RegistryError> {
    text.parse()
        .map_err(|error: umig::IdError| RegistryError::Document {
            what: "edge".into(),
            reason: error.to_string(),
        })
}
