//! The log, with its chain checked.

use std::sync::Arc;

use crate::reply::Json;
use axum::extract::State;
use disinherit::registry::{OperationRow, check_chain};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::list::limit;
use crate::app::App;
use crate::problem::Problem;
use crate::query::Query;

/// Which entries.
#[derive(Debug, Default, Clone, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogQuery {
    /// The operation before which the page starts, going back; the last one when not given.
    pub(crate) before: Option<i64>,
    /// How many at most: 1 to 1000.
    pub(crate) limit: Option<u32>,
}

/// An entry of the log.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct EntryView {
    pub(crate) id: i64,
    pub(crate) actor: String,
    /// In milliseconds since 1970-01-01 UTC.
    pub(crate) time: u64,
    pub(crate) command: String,
    /// The hash over this entry and the one before.
    pub(crate) hash: String,
}

impl From<&OperationRow> for EntryView {
    fn from(row: &OperationRow) -> Self {
        Self {
            id: row.id.get(),
            actor: row.actor.clone(),
            time: row.time,
            command: row.command.clone(),
            hash: row.hash.clone(),
        }
    }
}

/// Entries of the log, newest first.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct LogList {
    /// What is wrong with the chain of all entries; nothing when it is whole.
    pub(crate) altered: Vec<String>,
    pub(crate) entries: Vec<EntryView>,
    /// For `before`, where there are more.
    pub(crate) next: Option<i64>,
}

/// The log, newest first. The whole chain is checked with every call.
#[utoipa::path(get, path = "/api/v1/log", params(LogQuery), tag = "log",
    responses((status = 200, body = LogList),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<LogQuery>,
) -> Result<Json<LogList>, Problem> {
    read(&app, &query).await.map(Json)
}

/// A page of the log.
pub(crate) async fn read(app: &Arc<App>, query: &LogQuery) -> Result<LogList, Problem> {
    let (limit, before) = (
        limit(query.limit)? as usize,
        query.before.unwrap_or(i64::MAX),
    );
    app.read(move |registry| {
        let log = registry.operations()?;
        let rows = log.iter().rev().filter(|row| row.id.get() < before);
        let entries: Vec<EntryView> = rows.take(limit).map(Into::into).collect();
        let next = entries.last().filter(|entry| entry.id > 1);
        Ok(LogList {
            altered: check_chain(&log),
            next: next.map(|entry| entry.id),
            entries,
        })
    })
    .await
}
