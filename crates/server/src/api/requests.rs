//! Erasure requests: filed, read, listed.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::reply::{Json, attached};
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use disinherit::model::find;
use disinherit::registry::{ErasureRequest, Registry};
use disinherit::umig::{Forget, ModelId, Request};
use disinherit_desk::{Filed, Terms};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::api::body::{Body, number};
use crate::api::list::RequestQuery;
use crate::api::view::{JobView, RequestView, answer};
use crate::app::{App, Caller};
use crate::problem::Problem;
use crate::query::{Path, Query};

/// What must be forgotten.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ForgetBody {
    /// Every sample with one of these labels.
    Classes(BTreeSet<String>),
    /// Everything that one source supplied.
    Source(String),
    /// These samples, by id.
    Samples(BTreeSet<String>),
}

/// A request that is to be filed.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewBody {
    /// What must be forgotten.
    pub(crate) forget: ForgetBody,
    /// The initial models; found by provenance when not given.
    #[serde(default)]
    pub(crate) from: Vec<String>,
    /// Who asked: a pseudonym.
    #[serde(default)]
    pub(crate) requester: Option<String>,
    /// The legal basis.
    #[serde(default)]
    pub(crate) basis: Option<String>,
    /// When it arrived, in milliseconds since 1970-01-01 UTC; now when not given.
    #[serde(default)]
    pub(crate) received: Option<u64>,
    /// Until when it must be carried out, in milliseconds since 1970-01-01 UTC; one month after its arrival
    /// when not given.
    #[serde(default)]
    pub(crate) deadline: Option<u64>,
}

impl NewBody {
    pub(crate) fn filed(self, registry: &Registry) -> Result<Filed, Problem> {
        // A terminal that lists requests shows the names.
        let names: Vec<&String> = match &self.forget {
            ForgetBody::Source(source) => vec![source],
            ForgetBody::Classes(names) | ForgetBody::Samples(names) => names.iter().collect(),
        };
        if names.iter().any(|name| name.contains(char::is_control)) {
            return Err(Problem::bad(
                "a name of what must be forgotten has no control characters",
            ));
        }
        let forget = match self.forget {
            ForgetBody::Classes(labels) => Forget::Classes(labels),
            ForgetBody::Source(source) => Forget::Source(source),
            ForgetBody::Samples(ids) => Forget::Samples(ids),
        };
        if forget.is_empty() {
            return Err(Problem::bad("nothing is named that must be forgotten"));
        }
        let from = models(registry, &self.from)?;
        Ok(Filed {
            requester: self.requester,
            basis: self.basis,
            received: self.received,
            deadline: self.deadline,
            ..Filed::new(Request::new(forget).from_models(from))
        })
    }
}

/// Models by what they are called. The graph is read only where some are.
fn models(registry: &Registry, names: &[String]) -> Result<Vec<ModelId>, Problem> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let graph = registry.graph()?;
    let found = names.iter().map(|name| Ok(find(&graph, name)?.id.clone()));
    found.collect()
}

/// Requests, and where the next page starts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RequestList {
    requests: Vec<RequestView>,
    /// For `after`, where there are more.
    next: Option<i64>,
}

/// Lists requests.
#[utoipa::path(get, path = "/api/v1/requests", params(RequestQuery), tag = "requests",
    responses((status = 200, body = RequestList),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<RequestQuery>,
) -> Result<Json<RequestList>, Problem> {
    let page = query.page()?;
    let full = page.limit as usize;
    let found = app
        .read(move |registry| Ok(registry.erasures(&page)?))
        .await?;
    let next = found.last().filter(|_| found.len() == full);
    Ok(Json(RequestList {
        next: next.map(|erasure| erasure.id.get()),
        requests: found.iter().map(Into::into).collect(),
    }))
}

/// Files a request.
#[utoipa::path(post, path = "/api/v1/requests", request_body = NewBody, tag = "requests",
    params(("idempotency-key" = Option<String>, Header, description = "The same call again does nothing again")),
    responses((status = 201, body = RequestView),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn file(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    Body(body): Body<NewBody>,
) -> Result<Response, Problem> {
    let caller = known(caller)?;
    let filed = app.at_desk(&caller.name, |desk, registry| {
        Ok(desk.file(body.filed(registry)?)?)
    });
    let erasure = filed.await?;
    let mut answer = answer(StatusCode::CREATED, &erasure);
    if let Ok(place) = HeaderValue::from_str(&format!("/api/v1/requests/{}", erasure.id)) {
        answer.headers_mut().insert(header::LOCATION, place);
    }
    Ok(answer)
}

/// Says whom a request would touch and why, and what it cannot reach. Nothing is filed.
#[utoipa::path(post, path = "/api/v1/preview", request_body = NewBody, tag = "requests",
    responses((status = 200, body = Object),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn preview(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Option<Caller>>,
    Body(body): Body<NewBody>,
) -> Result<Json<Value>, Problem> {
    let caller = known(caller)?;
    let scope = app.at_desk(&caller.name, |desk, registry| {
        let request = body.filed(registry)?.request;
        Ok(desk.preview(&request, &Terms::default())?)
    });
    to_json(&scope.await?)
}

/// A request.
#[utoipa::path(get, path = "/api/v1/requests/{id}", params(("id" = i64, Path)), tag = "requests",
    responses((status = 200, body = RequestView), (status = 304),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let erasure = one(&app, &id).await?;
    let tag = format!("\"{}\"", erasure.last.operation);
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|tag| tag.to_str().ok());
    if known.is_some_and(|known| known.split(',').any(|known| known.trim() == tag)) {
        return Ok(StatusCode::NOT_MODIFIED.into_response());
    }
    Ok(answer(StatusCode::OK, &erasure))
}

/// Its runs and verifications, oldest first.
#[utoipa::path(get, path = "/api/v1/requests/{id}/jobs", params(("id" = i64, Path)), tag = "requests",
    responses((status = 200, body = Vec<JobView>),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn jobs(
    State(app): State<Arc<App>>,
    Path(id): Path,
) -> Result<Json<Vec<JobView>>, Problem> {
    let id = number(&id)?;
    let jobs = app.read(move |registry| {
        registry.erasure(id)?;
        Ok(registry.jobs(id)?)
    });
    Ok(Json(jobs.await?.iter().map(Into::into).collect()))
}

/// Whom it touches and why, as planned.
#[utoipa::path(get, path = "/api/v1/requests/{id}/scope", params(("id" = i64, Path)), tag = "requests",
    responses((status = 200, body = Object),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn scope(
    State(app): State<Arc<App>>,
    Path(id): Path,
) -> Result<Json<Value>, Problem> {
    let id = number(&id)?;
    let scope = app.at_desk("", move |desk, registry| {
        let plan = registry.erasure(id)?.plan;
        let plan = plan.ok_or_else(|| Problem::missing("this request has no plan yet"))?;
        Ok(desk.scope(&plan)?)
    });
    to_json(&scope.await?)
}

/// What happened to it, from the log.
#[utoipa::path(get, path = "/api/v1/requests/{id}/history", params(("id" = i64, Path)), tag = "requests",
    responses((status = 200, body = Vec<Object>),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn history(
    State(app): State<Arc<App>>,
    Path(id): Path,
) -> Result<Json<Value>, Problem> {
    let id = number(&id)?;
    let history = app.read(move |registry| {
        registry.erasure(id)?;
        Ok(registry.erasure_history(id)?)
    });
    to_json(&history.await?)
}

/// The verdict on each of its models.
#[utoipa::path(get, path = "/api/v1/requests/{id}/verdicts", params(("id" = i64, Path)), tag = "requests",
    responses((status = 200, body = Vec<Object>),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn verdicts(
    State(app): State<Arc<App>>,
    Path(id): Path,
) -> Result<Json<Value>, Problem> {
    let id = number(&id)?;
    let verdicts = app.at_desk("", move |desk, registry| {
        let verdict = registry.erasure(id)?.verdict;
        let verdict = verdict.ok_or_else(|| Problem::missing("nothing was judged yet"))?;
        Ok(desk.verdicts(&verdict)?)
    });
    to_json(&verdicts.await?)
}

/// Its certificate, as it was signed.
#[utoipa::path(get, path = "/api/v1/requests/{id}/certificate", params(("id" = i64, Path)), tag = "requests",
    responses((status = 200, body = Object),
        (status = "4XX", body = Problem, content_type = "application/problem+json")))]
pub(crate) async fn certificate(
    State(app): State<Arc<App>>,
    Path(id): Path,
) -> Result<Response, Problem> {
    let id = number(&id)?;
    let found = app.at_desk("", move |desk, registry| {
        let found = desk.certificate(&registry.erasure(id)?)?;
        found.ok_or_else(|| Problem::missing("this request has no certificate yet"))
    });
    let kind = [(header::CONTENT_TYPE, "application/json")];
    let answer = (kind, found.await?).into_response();
    Ok(attached(answer, &format!("request-{id}-certificate.json")))
}

/// One request by the number in a path.
pub(crate) async fn one(app: &Arc<App>, id: &str) -> Result<ErasureRequest, Problem> {
    let id = number(id)?;
    app.read(move |registry| Ok(registry.erasure(id)?)).await
}

/// The caller: the guard let no other through.
pub(crate) fn known(caller: Option<Caller>) -> Result<Caller, Problem> {
    caller.ok_or_else(|| {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "/problems/unauthorized",
            "no token",
        )
    })
}

pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<Json<Value>, Problem> {
    let value = serde_json::to_value(value);
    value.map(Json).map_err(|error| Problem::fault(&error))
}
