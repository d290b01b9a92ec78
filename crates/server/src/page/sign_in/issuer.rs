//! Signing in through the issuer: the visitor is sent there, and comes back with a code.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use disinherit::registry::KeptAnswer;
use maud::html;
use serde::Deserialize;

use super::form::{again, framed};
use super::token::fits;
use crate::app::{App, Caller};
use crate::audit::Call;
use crate::cookies::{Cookie, SameSite, cookie};
use crate::destination::Destination;
use crate::guard::{denied, refusal};
use crate::identity::{FLOW_TIME, Flow, Issuer, SignIn, Stray};
use crate::page::frame::{problem, told};
use crate::problem::Problem;
use crate::query::Query;

/// The cookie of a sign-in that is under way. Over TLS, no other host can set one of this name.
const COOKIE: &str = "disinherit_sign_in";
const SECURE_COOKIE: &str = "__Host-disinherit_sign_in";

/// The most that is shown of what the issuer says, in characters.
const LONGEST: usize = 200;

/// What a visitor asks for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::page) struct Wanted {
    to: String,
    /// Whether the issuer is to ask again who it is.
    again: bool,
}

/// What the issuer sends a visitor back with.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::page) struct Returned {
    state: String,
    code: Option<String>,
    error: Option<String>,
    error_description: String,
    iss: Option<String>,
}

/// Sends a visitor to the issuer.
pub(in crate::page) async fn begin(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Query(wanted): Query<Wanted>,
) -> Response {
    let Some((issuer, sign_in)) = set_up(&app) else {
        return problem(None, &not_set_up());
    };
    let to = Destination::read(&wanted.to);
    // Another site can send visitors to the form, and no further.
    if is_from_elsewhere(&headers) {
        return Redirect::to(&to.after("/sign-in")).into_response();
    }
    match issuer.begin(sign_in, to, wanted.again).await {
        Ok((flow, url)) => {
            let mut answer = Redirect::to(url.as_str()).into_response();
            under_way(sign_in, &flow.cookie(), FLOW_TIME / 1000).set_on(&mut answer);
            answer
        }
        Err(error) => refused(&error),
    }
}

/// Takes a visitor back who has signed in at the issuer.
pub(in crate::page) async fn end(
    State(app): State<Arc<App>>,
    Extension(call): Extension<Call>,
    headers: HeaderMap,
    Query(returned): Query<Returned>,
) -> Response {
    let Some((issuer, sign_in)) = set_up(&app) else {
        return problem(None, &not_set_up());
    };
    let flow = match own_flow(&app, &call, &headers, &returned) {
        Ok(flow) => flow,
        Err(error) => {
            denied(&app, &call, None, &error);
            return refused(&error);
        }
    };
    let mut answer = match signed_in(&app, &call, &flow, returned).await {
        Ok((token, caller)) => {
            app.audit.signed_in(&call, &caller);
            let mut answer = onward(flow.to());
            Cookie::session(&token, sign_in.is_secure()).set_on(&mut answer);
            answer
        }
        Err(error) => {
            denied(&app, &call, None, &error);
            tracing::info!(issuer = issuer.url(), error.detail, "not signed in");
            refused(&error)
        }
    };
    // However it ended, it is not gone on with.
    under_way(sign_in, "", 0).set_on(&mut answer);
    answer
}

fn set_up(app: &App) -> Option<(&Issuer, &SignIn)> {
    let issuer = app.issuer.as_ref()?;
    Some((issuer, issuer.sign_in()?))
}

fn not_set_up() -> Problem {
    Problem::missing("sign-in through an issuer is not set up here")
}

/// The cookie of a sign-in that is under way. It must come along when the issuer, another site, sends the visitor back.
fn under_way<'a>(sign_in: &SignIn, value: &'a str, seconds: u64) -> Cookie<'a> {
    Cookie {
        name: name(sign_in),
        value,
        seconds,
        secure: sign_in.is_secure(),
        same_site: SameSite::Lax,
    }
}

fn name(sign_in: &SignIn) -> &'static str {
    match sign_in.is_secure() {
        true => SECURE_COOKIE,
        false => COOKIE,
    }
}

/// Whether a browser says that another site sends the visitor.
fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    site.is_some_and(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"))
}

/// The sign-in that this browser began, and comes back from.
fn own_flow(
    app: &App,
    call: &Call,
    headers: &HeaderMap,
    returned: &Returned,
) -> Result<Flow, Problem> {
    app.limiter.admits(call.address)?;
    let (issuer, sign_in) = set_up(app).ok_or_else(not_set_up)?;
    let kept = cookie(headers, name(sign_in));
    let Some(flow) = kept.as_deref().and_then(Flow::read) else {
        let hint = format!(
            "sign in again, at {}, with cookies allowed",
            sign_in.public_url()
        );
        return Err(Problem::bad("this browser has no sign-in under way").with_hint(hint));
    };
    match issuer.check(sign_in, &flow, &returned.state) {
        Ok(()) => Ok(flow),
        Err(Stray::Foreign) => Err(
            forbidden("this is not the sign-in that was begun here last")
                .with_hint("sign in again, in one window only"),
        ),
        Err(Stray::Late) => Err(Problem::bad("the sign-in took too long")
            .with_hint("sign in again; it may take ten minutes")),
    }
}

/// The token of a visitor who has signed in, and who it is.
async fn signed_in(
    app: &Arc<App>,
    call: &Call,
    flow: &Flow,
    returned: Returned,
) -> Result<(String, Caller), Problem> {
    let (issuer, sign_in) = set_up(app).ok_or_else(not_set_up)?;
    // Where it is said who answers (RFC 9207), it is the issuer.
    if returned.iss.is_some_and(|iss| iss != issuer.url()) {
        return Err(forbidden("another issuer answers"));
    }
    if let Some(error) = &returned.error {
        return Err(no_by_issuer(error, &returned.error_description));
    }
    let none = || Problem::bad("the issuer sends neither a code nor a reason");
    let code = returned
        .code
        .filter(|code| !code.is_empty())
        .ok_or_else(none)?;
    let finished = issuer.finish(sign_in, flow, &code).await;
    let (token, caller) = finished.map_err(|reason| refusal(app, call, reason))?;
    fits(&token)?;
    once(app, flow).await?;
    Ok((token, caller))
}

/// Notes for all servers of the registry that a sign-in has ended. It is done at the end, so that only those who can sign
/// in write to the catalog.
async fn once(app: &Arc<App>, flow: &Flow) -> Result<(), Problem> {
    let name = flow.name();
    let claimed = app.read(move |registry| Ok(registry.claim_answer(&name, "")?));
    match claimed.await? {
        KeptAnswer::New => Ok(()),
        _ => Err(forbidden("this sign-in was used already").with_hint("sign in again")),
    }
}

fn forbidden(detail: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "/problems/forbidden", detail)
}

/// Why the issuer refused the sign-in (RFC 6749, section 4.1.2.1), and what can be done.
fn no_by_issuer(error: &str, description: &str) -> Problem {
    let plain = |text: &str| -> String {
        let plain = text.chars().filter(|c| !c.is_control());
        plain.take(LONGEST).collect()
    };
    let detail = match plain(description) {
        more if more.is_empty() => format!("the issuer says `{}`", plain(error)),
        more => format!("the issuer says `{}`: {more}", plain(error)),
    };
    let with = |status, hint: &str| {
        Problem::new(status, "/problems/issuer", detail.clone()).with_hint(hint)
    };
    match error {
        "access_denied" => with(
            StatusCode::FORBIDDEN,
            "sign in again and agree, or ask those who administer the issuer for access",
        ),
        "login_required"
        | "interaction_required"
        | "consent_required"
        | "account_selection_required" => with(StatusCode::FORBIDDEN, "sign in again"),
        "server_error" | "temporarily_unavailable" => {
            with(StatusCode::SERVICE_UNAVAILABLE, "try again soon")
        }
        _ => with(
            StatusCode::BAD_GATEWAY,
            "the issuer must know this server's client id, its public URL and the scopes that it asks for",
        ),
    }
}

/// Leads on from a page of this service: the cookie does not come along where another site leads.
fn onward(to: &Destination) -> Response {
    let mut page = framed(
        "Signed in",
        &html! {
            h1 { "Signed in" }
            p { a href=(to) { "Go on" } }
        },
    );
    if let Ok(refresh) = HeaderValue::from_str(&format!("0; url={to}")) {
        page.headers_mut().insert(header::REFRESH, refresh);
    }
    page
}

fn refused(error: &Problem) -> Response {
    let mut page = framed(
        "Not signed in",
        &html! {
            h1 { "Not signed in" }
            (told(error))
            p { a.button.main href="/sign-in" { "Sign in again" } }
            p { (again()) }
        },
    );
    *page.status_mut() = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
    page
}
