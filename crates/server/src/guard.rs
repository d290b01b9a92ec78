//! The door: who calls, and whether they may. What is not allowed by name is denied.

use std::sync::Arc;
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use crate::app::{App, Caller};
use crate::audit::Call;
use crate::cookies::{SESSION, cookie};
use crate::destination::Destination;
use crate::identity::{Carrier, Unknown, hash, holder, is_registrys};
use crate::peer::Peer;
use crate::problem::Problem;
use crate::rights::{Right, right_of};

/// The longest token that is looked at.
const LONGEST: usize = 8192;

/// The endpoints that monitors ask, as often as they like.
const WATCHED: [&str; 2] = ["/healthz", "/readyz"];

/// The headers that decide something, and that a call has once: of two, a proxy may have looked at the other one.
const ONCE: [HeaderName; 8] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    header::HOST,
    header::IF_MATCH,
    header::ORIGIN,
    HeaderName::from_static("sec-fetch-site"),
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("last-event-id"),
];

/// How much of the body of a refused call is read, in bytes, and for how long.
const FEW: usize = 64 * 1024;
const MOMENT: Duration = Duration::from_secs(1);

/// Lets a call through where its token has the right that the endpoint asks for.
pub(crate) async fn guard(
    State(app): State<Arc<App>>,
    path: MatchedPath,
    mut request: Request,
    next: Next,
) -> Response {
    let path = path.as_str().to_owned();
    let call = Call {
        method: request.method().clone(),
        path: request.uri().path().to_owned(),
        address: app
            .limiter
            .address(request.extensions().get::<Peer>(), request.headers()),
    };
    let for_people = !path.starts_with("/api/") && path != "/metrics";
    let asked = request.uri().path_and_query().map(|asked| asked.as_str());
    let to = Destination::read(asked.unwrap_or_default());
    let answer = match admitted(&app, &call, &path, request.headers()).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            request.extensions_mut().insert(call.clone());
            next.run(request).await
        }
        Err(refusal) => {
            let Refusal { caller, problem } = *refusal;
            denied(&app, &call, caller.as_ref(), &problem);
            // A client that is still sending would miss the answer.
            let body = to_bytes(request.into_body(), FEW);
            let _ = tokio::time::timeout(MOMENT, body).await;
            if for_people && problem.status == 401 && call.method == Method::GET {
                Redirect::to(&to.after("/sign-in")).into_response()
            } else {
                problem.into_response()
            }
        }
    };
    app.metrics
        .answered(call.method.as_str(), &path, answer.status().as_u16());
    answer
}

/// Why a call was not let through, and whose it was, as far as that is known.
struct Refusal {
    caller: Option<Caller>,
    problem: Problem,
}

impl From<Problem> for Box<Refusal> {
    fn from(problem: Problem) -> Self {
        let caller = None;
        Self::new(Refusal { caller, problem })
    }
}

async fn admitted(
    app: &Arc<App>,
    call: &Call,
    path: &str,
    headers: &HeaderMap,
) -> Result<Option<Caller>, Box<Refusal>> {
    let forbidden = |detail: &str| {
        let status = StatusCode::FORBIDDEN;
        Problem::new(status, "/problems/forbidden", detail)
    };
    if !WATCHED.contains(&path) {
        app.limiter.call_from(call.address)?;
    }
    if let Some(name) = ONCE
        .iter()
        .find(|name| headers.get_all(*name).iter().count() > 1)
    {
        return Err(Problem::bad(format!("the header `{name}` comes twice")).into());
    }
    let Some(right) = right_of(call.method.as_str(), path) else {
        return Err(forbidden("this call is not allowed to any caller").into());
    };
    let (secret, carrier) = secret_of(headers);
    let writes = !matches!(call.method, Method::GET | Method::HEAD);
    if writes && (carrier == Carrier::Page || right == Right::Public) && !is_own(headers) {
        return Err(forbidden("this call comes from another page").into());
    }
    if right != Right::Public || writes {
        app.limiter.admits(call.address)?;
    }
    if right == Right::Public {
        return Ok(None);
    }
    let caller = identified(app, call, secret.as_deref(), carrier).await?;
    let refused = match app.limiter.call_by(&caller.identity) {
        Err(problem) => problem,
        Ok(()) if caller.role.may(right) => return Ok(Some(caller)),
        Ok(()) => forbidden(&format!(
            "a token of the role {} may not do this",
            caller.role
        )),
    };
    Err(Box::new(Refusal {
        caller: Some(caller),
        problem: refused,
    }))
}

/// The holder of a secret. A secret that was never given out counts against the address that sent it.
pub(crate) async fn identified(
    app: &Arc<App>,
    call: &Call,
    secret: Option<&str>,
    carrier: Carrier,
) -> Result<Caller, Problem> {
    let Some(secret) = secret.filter(|secret| !secret.is_empty()) else {
        return Err(unauthorized("a token is needed"));
    };
    let known = match secret.len() <= LONGEST {
        true => caller(app, secret, carrier).await,
        false => Err(Unknown::Forged("this token is too long".into())),
    };
    known.map_err(|reason| refusal(app, call, reason))
}

/// Why somebody is not let in, as a problem. What was never given out counts against the address that sent it.
pub(crate) fn refusal(app: &App, call: &Call, reason: Unknown) -> Problem {
    match reason {
        Unknown::Forged(reason) => {
            app.limiter.failed(call.address);
            unauthorized(reason)
        }
        Unknown::Lapsed(reason) => unauthorized(reason),
        Unknown::Failed(problem) => problem,
    }
}

fn unauthorized(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "/problems/unauthorized", detail)
}

/// Whose secret it is.
async fn caller(app: &Arc<App>, secret: &str, carrier: Carrier) -> Result<Caller, Unknown> {
    match &app.issuer {
        Some(issuer) if !is_registrys(secret) => issuer.caller(secret, carrier).await,
        _ => {
            let hash = hash(secret);
            let found = app.read(move |registry| Ok(registry.token(&hash)?)).await;
            holder(found.map_err(Unknown::Failed)?)
        }
    }
}

/// Every refusal is counted, and put on record; of a flood from one address, one a second is.
pub(crate) fn denied(app: &App, call: &Call, caller: Option<&Caller>, problem: &Problem) {
    if !matches!(problem.status, 401 | 403 | 429) {
        return;
    }
    app.metrics.denied();
    if problem.status != 429 || app.limiter.is_told(call.address) {
        app.audit
            .refused(call, caller, problem.status, &problem.detail);
    }
}

/// The secret of a call, and how it came: a browser sends its cookie by itself.
fn secret_of(headers: &HeaderMap) -> (Option<String>, Carrier) {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    if let Some(value) = headers.get(header::AUTHORIZATION).and_then(text) {
        let bearer = value.split_once(' ').and_then(|(scheme, secret)| {
            let known = scheme.eq_ignore_ascii_case("bearer");
            known.then(|| secret.trim().to_owned())
        });
        return (bearer, Carrier::Header);
    }
    match cookie(headers, SESSION) {
        Some(secret) => (Some(secret), Carrier::Page),
        None => (None, Carrier::Header),
    }
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

/// What browsers are told with every answer: to run nothing, to load nothing from elsewhere, to keep nothing.
pub(crate) async fn headers(request: Request, next: Next) -> Response {
    let tls = request
        .extensions()
        .get::<Peer>()
        .is_some_and(|peer| peer.tls);
    let mut answer = next.run(request).await;
    if tls {
        let always = HeaderValue::from_static("max-age=31536000");
        answer
            .headers_mut()
            .insert(header::STRICT_TRANSPORT_SECURITY, always);
    }
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
