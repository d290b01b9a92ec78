//! What a catalog answers.

use std::collections::BTreeSet;

use sqlx::{AssertSqlSafe, Row};
use umig::{ModelId, Relation};

use crate::catalog::contract::Snapshot;
use crate::catalog::rows::{Draft, Edge, ModelRow, Page, State};
use crate::catalog::sql::batch::{bind_ids, listed, places};
use crate::catalog::sql::erasures;
use crate::catalog::sql::json::from_json;
use crate::catalog::sql::pool::SqlCatalog;
use crate::catalog::sql::read::{
    MODEL, OPERATION, cards, edges, id, model, models, operation, operations,
};
use crate::error::RegistryError;
use crate::ids::OperationId;
use crate::log::entry::OperationRow;

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
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(model).collect()
    }

    pub(super) async fn one_model(&self, id: &ModelId) -> Result<Option<ModelRow>, RegistryError> {
        let row = sqlx::query(AssertSqlSafe(format!(
            "{MODEL} WHERE name = $1 AND version = $2"
        )))
        .bind(id.name())
        .bind(i64::from(id.version()))
        .fetch_optional(self.pool())
        .await?;
        row.as_ref().map(model).transpose()
    }

    pub(super) async fn models_with(
        &self,
        ids: &[ModelId],
    ) -> Result<Vec<ModelRow>, RegistryError> {
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(self.lookups()) {
            let places = places(ids.len(), 2, self.is_sqlite());
            let text = format!("{MODEL} WHERE (name, version) IN (VALUES {places})");
            let query = bind_ids(sqlx::query(AssertSqlSafe(text)), ids);
            for row in &query.fetch_all(self.pool()).await? {
                found.push(model(row)?);
            }
        }
        Ok(found)
    }

    pub(super) async fn newest_of(&self, names: &[String]) -> Result<Vec<ModelRow>, RegistryError> {
        let mut found = Vec::with_capacity(names.len());
        for names in names.chunks(self.lookups()) {
            // By the index over names and versions: a registry may have a million models of other names.
            let listed = listed(names.len());
            let text = format!(
                "{MODEL} JOIN (
                     SELECT name AS of_name, MAX(version) AS newest FROM models
                     WHERE name IN ({listed}) GROUP BY name
                     UNION
                     SELECT name, MAX(version) FROM models
                     WHERE name IN ({listed}) AND superseded = 0 GROUP BY name
                 ) AS wanted ON name = of_name AND version = newest"
            );
            let query = names
                .iter()
                .fold(sqlx::query(AssertSqlSafe(text)), |query, name| {
                    query.bind(name)
                });
            for row in &query.fetch_all(self.pool()).await? {
                found.push(model(row)?);
            }
        }
        Ok(found)
    }

    pub(super) async fn replaced_of(
        &self,
        ids: &[ModelId],
    ) -> Result<BTreeSet<ModelId>, RegistryError> {
        let mut replaced = BTreeSet::new();
        for ids in ids.chunks(self.lookups()) {
            // A base may have a hundred thousand edges of other kinds.
            let text = format!(
                "SELECT parent, relation FROM edges WHERE parent IN ({}) \
                 AND relation LIKE '%unlearned_from%'",
                listed(ids.len())
            );
            let query = ids
                .iter()
                .fold(sqlx::query(AssertSqlSafe(text)), |query, id| {
                    query.bind(id.to_string())
                });
            for row in &query.fetch_all(self.pool()).await? {
                let relation: Relation = from_json("relation", row.try_get(1)?)?;
                if matches!(relation, Relation::UnlearnedFrom { .. }) {
                    replaced.insert(id(row.try_get(0)?)?);
                }
            }
        }
        Ok(replaced)
    }

    pub(super) async fn entries_of(
        &self,
        ids: &[OperationId],
    ) -> Result<Vec<OperationRow>, RegistryError> {
        let mut entries = Vec::with_capacity(ids.len());
        for ids in ids.chunks(self.lookups()) {
            let text = format!(
                "{OPERATION} WHERE id IN ({}) ORDER BY id",
                listed(ids.len())
            );
            let query = ids
                .iter()
                .fold(sqlx::query(AssertSqlSafe(text)), |query, id| {
                    query.bind(id.get())
                });
            for row in &query.fetch_all(self.pool()).await? {
                entries.push(operation(row)?);
            }
        }
        Ok(entries)
    }

    pub(super) async fn everything(&self) -> Result<Snapshot, RegistryError> {
        let mut moment = self.moment().await?;
        Ok(Snapshot {
            models: models(&mut *moment).await?,
            edges: edges(&mut *moment).await?,
            cards: cards(&mut *moment, None).await?,
            operations: operations(&mut *moment).await?,
            erasures: erasures::all(&mut *moment).await?,
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
            .fetch_all(self.pool())
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
            .fetch_optional(self.pool())
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// Keeps a setting, or does what is said where it is there already.
    pub(super) async fn keep_setting(
        &self,
        name: &str,
        value: &str,
        known: &str,
    ) -> Result<(), RegistryError> {
        let text = format!(
            "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) {known}"
        );
        sqlx::query(AssertSqlSafe(text))
            .bind(name)
            .bind(value)
            .execute(self.pool())
            .await?;
        Ok(())
    }
}
