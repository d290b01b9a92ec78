//! The door: who calls, and whether they may. What is not allowed by name is denied.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use disinherit::registry::RegistryError;

use crate::app::{App, Caller};
use crate::problem::Problem;
use crate::rights::{Right, right_of};
use crate::tokens::hash;

/// The cookie of the page.
pub(crate) const COOKIE: &str = "disinherit_token";

/// The longest token that is looked at.
const LONGEST: usize = 200;

/// Lets a call through where its token has the right that the endpoint asks for.
pub(crate) async fn guard(
    State(app): State<Arc<App>>,
    path: MatchedPath,
    mut request: Request,
    next: Next,
) -> Response {
    let (method, path) = (request.method().clone(), path.as_str().to_owned());
    let for_people = !path.starts_with("/api/") && path != "/metrics";
    let answer = match admitted(&app, &method, &path, request.headers()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) if for_people && problem.status == 401 && method == Method::GET => {
            Redirect::to("/sign-in").into_response()
        }
        Err(problem) => problem.into_response(),
    };
    app.metrics
        .answered(method.as_str(), &path, answer.status().as_u16());
    answer
}

async fn admitted(
    app: &Arc<App>,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Result<Option<Caller>, Problem> {
    let forbidden = |detail: &str| {
        let status = StatusCode::FORBIDDEN;
        Problem::new(status, "/problems/forbidden", detail)
    };
    let Some(right) = right_of(method.as_str(), path) else {
        denied(app, method, path, None);
        return Err(forbidden("nobody may do this"));
    };
    let (secret, from_cookie) = secret_of(headers);
    let writes = !matches!(*method, Method::GET | Method::HEAD);
    if writes && (from_cookie || right == Right::Public) && !is_own(headers) {
        denied(app, method, path, None);
        return Err(forbidden("this call comes from another page"));
    }
    if right == Right::Public {
        return Ok(None);
    }
    let known = match secret {
        Some(secret) if secret.len() <= LONGEST => caller(app, &secret).await?,
        _ => None,
    };
    let Some(caller) = known else {
        denied(app, method, path, None);
        let status = StatusCode::UNAUTHORIZED;
        let detail = "a token is needed, and must be known, not expired and not revoked";
        return Err(Problem::new(status, "/problems/unauthorized", detail));
    };
    if !caller.role.may(right) {
        denied(app, method, path, Some(&caller));
        return Err(forbidden(&format!(
            "a token of the role {} may not do this",
            caller.role
        )));
    }
    Ok(Some(caller))
}

/// Every denial is told in the log of the server, and counted.
fn denied(app: &App, method: &Method, path: &str, caller: Option<&Caller>) {
    app.metrics.denied();
    let (token, name) = caller.map_or((0, "-"), |caller| (caller.token, caller.name.as_str()));
    tracing::warn!(%method, path, token, name, "denied");
}

/// The secret of a call, and whether a browser sent it by itself.
fn secret_of(headers: &HeaderMap) -> (Option<String>, bool) {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    if let Some(value) = headers.get(header::AUTHORIZATION).and_then(text) {
        return match value.split_once(' ') {
            Some((scheme, secret)) if scheme.eq_ignore_ascii_case("bearer") => {
                (Some(secret.trim().to_owned()), false)
            }
            _ => (None, false),
        };
    }
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(text);
    let pairs: Vec<String> = cookies
        .flat_map(|line| {
            line.split(';')
                .map(|pair| pair.trim().to_owned())
                .collect::<Vec<_>>()
        })
        .collect();
    let own = pairs
        .iter()
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| *name == COOKIE);
    (own.map(|(_, secret)| secret.to_owned()), own.is_some())
}

/// Whether a form was sent by a page of this server. Browsers say so; what says nothing is no browser's.
fn is_own(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        // Nothing tells: a cookie alone does not write.
        return headers.get(header::COOKIE).is_none();
    };
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let origin = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"));
    matches!((origin, host), (Some((_, origin)), Some(host)) if origin == host)
}

/// Whose secret it is, if it is one that holds.
pub(crate) async fn caller(app: &Arc<App>, secret: &str) -> Result<Option<Caller>, Problem> {
    let hash = hash(secret);
    let found = app.read(move |registry| Ok(registry.token(&hash)?)).await?;
    let Some(token) = found else { return Ok(None) };
    let role = token.role.parse().map_err(|reason| {
        let what = "role of a token".to_owned();
        Problem::from(RegistryError::Document { what, reason })
    })?;
    Ok(Some(Caller {
        token: token.id,
        name: token.name,
        role,
    }))
}

/// What browsers are told with every answer: to run nothing, to load nothing from elsewhere, to keep nothing.
pub(crate) async fn headers(request: Request, next: Next) -> Response {
    let mut answer = next.run(request).await;
    let told = [
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; \
             frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in told {
        answer
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    answer
}
