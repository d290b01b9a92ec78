//! Models, page by page.

use std::sync::Arc;

use crate::reply::Json;
use axum::extract::State;
use disinherit::registry::{ModelRow, Page, State as ModelState};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::list::limit;
use crate::app::App;
use crate::problem::Problem;
use crate::query::Query;

/// Which models.
#[derive(Debug, Default, Clone, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct ModelQuery {
    /// Only names that begin so.
    pub(crate) prefix: String,
    /// Only versions in this state: `current`, `superseded` or `purged`.
    pub(crate) state: String,
    /// The version after which the page starts.
    pub(crate) after: String,
    /// How many at most: 1 to 1000.
    pub(crate) limit: Option<u32>,
}

impl ModelQuery {
    pub(crate) fn page(&self) -> Result<Page, Problem> {
        let state = state_of(&self.state)?;
        // No model has such a name, and not every database takes NUL as text.
        if self.prefix.contains(char::is_control) {
            return Err(Problem::bad("`prefix` has no control characters"));
        }
        let after = match self.after.as_str() {
            "" => None,
            text => Some(
                text.parse()
                    .map_err(|error| Problem::bad(format!("{error}")))?,
            ),
        };
        Ok(Page {
            after,
            limit: limit(self.limit)?,
            prefix: self.prefix.clone(),
            state,
        })
    }
}

/// The state that a query names, if it names one.
pub(crate) fn state_of(name: &str) -> Result<Option<ModelState>, Problem> {
    Ok(match name {
        "" => None,
        "current" => Some(ModelState::Current),
        "superseded" => Some(ModelState::Superseded),
        "purged" => Some(ModelState::Purged),
        other => return Err(Problem::bad(format!("`{other}` is no state of a model"))),
    })
}

/// A version of a model.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelView {
    /// Its name and version.
    id: String,
    state: String,
    /// When it was published, in milliseconds since 1970-01-01 UTC.
    time: u64,
    /// Its digest.
    digest: String,
    /// The operation that replaced it, if one did.
    superseded_by: Option<i64>,
}

impl From<&ModelRow> for ModelView {
    fn from(row: &ModelRow) -> Self {
        Self {
            id: row.vertex.id.to_string(),
            state: row.state().name().to_owned(),
            time: row.vertex.time,
            digest: row.manifest.to_string(),
            superseded_by: row.superseded_by.map(|number| number.get()),
        }
    }
}

/// Models, and where the next page starts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelList {
    models: Vec<ModelView>,
    /// For `after`, where there are more.
    next: Option<String>,
}

/// Lists models.
#[utoipa::path(get, path = "/api/v1/models", params(ModelQuery), tag = "models",
    responses((status = 200, body = ModelList),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<ModelQuery>,
) -> Result<Json<ModelList>, Problem> {
    let page = query.page()?;
    let full = page.limit as usize;
    let found = app.read(move |registry| Ok(registry.page(&page)?)).await?;
    let next = found.last().filter(|_| found.len() == full);
    Ok(Json(ModelList {
        next: next.map(|row| row.vertex.id.to_string()),
        models: found.iter().map(Into::into).collect(),
    }))
}
