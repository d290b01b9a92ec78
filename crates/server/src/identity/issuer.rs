//! Tokens of an OpenID Connect issuer: signed by its keys, for this audience, in their time.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde_json::{Map, Value};
use url::Url;

use super::caller::{Caller, Carrier, Roles, Unknown};
use super::documents::{AskError, Documents};
use super::flow::{Flow, FlowKey, Stray};
use super::keyset::KeySet;
use super::sign_in::{self, ExchangeError, SignIn, SignInSettings};
use crate::destination::Destination;
use crate::error::ServeError;
use crate::problem::Problem;
use crate::rights::Role;

/// How far clocks may differ, in seconds.
const LEEWAY: u64 = 30;

/// The longest subject, in characters: what OpenID Connect allows.
const LONGEST: usize = 255;

/// The signatures that are believed. Not those with a shared secret: the issuer's public key would be one.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

/// Whose tokens are taken beside those of this registry.
#[derive(Debug, Clone)]
pub struct OidcSettings {
    /// The issuer: the URL under which `/.well-known/openid-configuration` is, and which tokens name as `iss`.
    pub issuer: String,
    /// Whom tokens must be for (`aud`).
    pub audience: String,
    /// The claim with the roles; with dots where it is inside another one.
    pub roles_claim: String,
    /// What values of the claim stand for. Without any, they are the names of roles.
    pub roles: BTreeMap<String, Role>,
    /// How people sign in on the page through the issuer, where they can.
    pub sign_in: Option<SignInSettings>,
}

/// What a token says of whom and how.
type Claims = Map<String, Value>;

/// An issuer that is trusted.
#[derive(Debug)]
pub(crate) struct Issuer {
    settings: OidcSettings,
    documents: Documents,
    keys: KeySet,
    sign_in: Option<SignIn>,
}

impl Issuer {
    /// An issuer. `key` is asked for where people sign in through it.
    pub(crate) fn new(
        mut settings: OidcSettings,
        key: impl FnOnce() -> Result<FlowKey, ServeError>,
    ) -> Result<Self, ServeError> {
        let documents = Documents::new().map_err(ServeError::Issuer)?;
        let keys = KeySet::new(&settings.issuer, documents.clone()).map_err(ServeError::Issuer)?;
        let sign_in = match settings.sign_in.take() {
            Some(how) => Some(SignIn::new(how, key()?)?),
            None => None,
        };
        Ok(Self {
            settings,
            documents,
            keys,
            sign_in,
        })
    }

    /// Reads the issuer's keys before the first call. One that cannot be reached now is asked again later.
    pub(crate) async fn prepare(&self) -> Result<(), ServeError> {
        match self.keys.fetch().await {
            Err(AskError::Wrong(reason)) => return Err(ServeError::Issuer(reason)),
            Err(AskError::Unreachable(reason)) => {
                tracing::error!(
                    issuer = self.settings.issuer,
                    reason,
                    "the issuer cannot be reached"
                );
            }
            Ok(()) => {}
        }
        match (&self.sign_in, self.keys.known_endpoints()) {
            (Some(_), Some(endpoints)) => {
                let wrong = |error: AskError| ServeError::SignIn(error.reason().to_owned());
                sign_in::check(&endpoints).map_err(wrong)
            }
            _ => Ok(()),
        }
    }

    /// The issuer's URL.
    pub(crate) fn url(&self) -> &str {
        &self.settings.issuer
    }

    /// Sign-in through the issuer, where it is set up.
    pub(crate) fn sign_in(&self) -> Option<&SignIn> {
        self.sign_in.as_ref()
    }

    /// Begins a sign-in: what the browser keeps, and where it goes.
    pub(crate) async fn begin(
        &self,
        sign_in: &SignIn,
        to: Destination,
        again: bool,
    ) -> Result<(Flow, Url), Problem> {
        let flow = Flow::begin(to, disinherit::model::now());
        let flow = flow.map_err(|reason| Problem::fault(&reason))?;
        let endpoints = self.keys.endpoints().await.map_err(unreadable)?;
        let url = sign_in.authorization(&endpoints, &flow, again);
        Ok((flow, url.map_err(misfit)?))
    }

    /// Whether a visitor who comes back with this `state` began the sign-in, in time.
    pub(crate) fn check(&self, sign_in: &SignIn, flow: &Flow, state: &str) -> Result<(), Stray> {
        flow.check(sign_in.key(), state, disinherit::model::now())
    }

    /// Ends a sign-in: the ID token that the issuer gives for a code, and whose it is.
    pub(crate) async fn finish(
        &self,
        sign_in: &SignIn,
        flow: &Flow,
        code: &str,
    ) -> Result<(String, Caller), Unknown> {
        let endpoints = self.keys.endpoints().await;
        let endpoints = endpoints.map_err(|error| Unknown::Failed(unreadable(error)))?;
        let exchanged = sign_in.exchange(&self.documents, &endpoints, code, flow);
        let token = exchanged.await.map_err(|error| match error {
            ExchangeError::Code(reason) => Unknown::Forged(reason),
            ExchangeError::Issuer(error) => Unknown::Failed(misfit(error)),
        })?;
        let claims = self.claims(&token, &[sign_in.client_id()]).await?;
        let named = |name: &str| claims.get(name).and_then(Value::as_str);
        let nonce = flow.nonce(sign_in.key());
        let nonce = nonce.map_err(|reason| Unknown::Failed(Problem::fault(&reason)))?;
        if named("nonce") != Some(&nonce) {
            let reason = "the token is of another sign-in";
            return Err(Unknown::Forged(reason.into()));
        }
        // Where it is said to whom the token was given, it was given to this service.
        if claims.contains_key("azp") && named("azp") != Some(sign_in.client_id()) {
            let reason = "the token was given to another service";
            return Err(Unknown::Forged(reason.into()));
        }
        let caller = self.caller_of(&claims)?;
        Ok((token, caller))
    }

    /// Where somebody who has signed out here can sign out of the issuer too, as far as that is known.
    pub(crate) fn way_out(&self) -> Option<Url> {
        let sign_in = self.sign_in.as_ref()?;
        sign_in.way_out(&self.keys.known_endpoints()?)
    }

    /// Whose token it is.
    pub(crate) async fn caller(&self, secret: &str, carrier: Carrier) -> Result<Caller, Unknown> {
        let mut audiences = vec![self.settings.audience.as_str()];
        // What the page keeps of a sign-in is for the client. Programs send tokens that are for the audience.
        if let (Carrier::Page, Some(sign_in)) = (carrier, &self.sign_in) {
            audiences.push(sign_in.client_id());
        }
        let claims = self.claims(secret, &audiences).await?;
        self.caller_of(&claims)
    }

    /// What a token says that holds, and is for one of these.
    async fn claims(&self, secret: &str, audiences: &[&str]) -> Result<Claims, Unknown> {
        let forged = |reason: String| Unknown::Forged(reason);
        let header = decode_header(secret).map_err(|_| forged("this is no token".into()))?;
        if !ALGORITHMS.contains(&header.alg) {
            return Err(forged(
                "tokens are signed with RS256, ES256 or EdDSA".into(),
            ));
        }
        // What must be understood to be believed, and is not.
        if header.crit.is_some() {
            return Err(forged("this token has critical headers".into()));
        }
        let kid = header.kid.as_deref();
        let found = self.keys.find(kid, header.alg).await;
        let found = found.map_err(|error| Unknown::Failed(unreadable(error)))?;
        let key = found.ok_or_else(|| forged("the issuer has no such key".into()))?;
        let claims = decode::<Claims>(secret, &key, &self.rules(header.alg, audiences));
        Ok(claims.map_err(|error| refused(error.kind()))?.claims)
    }

    /// Of whom a token speaks that holds.
    fn caller_of(&self, claims: &Claims) -> Result<Caller, Unknown> {
        let subject = claims
            .get("sub")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let plain = !subject.is_empty() && !subject.chars().any(char::is_control);
        if !plain || subject.chars().count() > LONGEST {
            let reason = "the token names no subject that can be kept";
            return Err(Unknown::Forged(reason.into()));
        }
        let role = self.roles(claims);
        if role.is_empty() {
            let claim = &self.settings.roles_claim;
            let detail = format!("the claim `{claim}` of this token names no role of this server");
            let problem = Problem::new(StatusCode::FORBIDDEN, "/problems/forbidden", detail);
            let hint = "ask those who administer the issuer for a role";
            return Err(Unknown::Failed(problem.with_hint(hint)));
        }
        let name = format!("{}#{subject}", self.settings.issuer);
        Ok(Caller {
            token: None,
            identity: name.as_str().into(),
            name,
            role,
        })
    }

    fn rules(&self, algorithm: Algorithm, audiences: &[&str]) -> Validation {
        let mut rules = Validation::new(algorithm);
        rules.leeway = LEEWAY;
        rules.validate_nbf = true;
        rules.set_issuer(&[&self.settings.issuer]);
        rules.set_audience(audiences);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        rules
    }

    fn roles(&self, claims: &Claims) -> Roles {
        let Some(value) = claim(claims, &self.settings.roles_claim) else {
            return Roles::from_iter([]);
        };
        let values: Vec<&str> = match value {
            Value::String(text) => text.split_whitespace().collect(),
            Value::Array(values) => values.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let named = &self.settings.roles;
        let role = |value: &&str| match named.is_empty() {
            true => value.parse().ok(),
            false => named.get(*value).copied(),
        };
        values.iter().filter_map(role).collect()
    }
}

/// A claim, by its whole name or inside others.
fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let (outer, inner) = name.split_once('.')?;
    claim(claims.get(outer)?.as_object()?, inner)
}

/// The issuer's keys and places are not known.
fn unreadable(error: AskError) -> Problem {
    tracing::error!(reason = error.reason(), "the issuer's keys cannot be read");
    let detail = "the keys of the tokens' issuer cannot be read now";
    away(detail)
}

/// The issuer does not do its part of a sign-in.
fn misfit(error: AskError) -> Problem {
    tracing::error!(
        reason = error.reason(),
        "the issuer cannot be used for a sign-in"
    );
    match error {
        AskError::Unreachable(_) => away("the issuer does not answer now"),
        AskError::Wrong(_) => Problem::new(
            StatusCode::BAD_GATEWAY,
            "/problems/issuer",
            "the issuer and this server do not agree on how to sign in",
        )
        .with_hint("the log of the server says why: show it to those who administer it"),
    }
}

fn away(detail: &str) -> Problem {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    Problem::new(status, "/problems/issuer", detail)
        .with_hint("try again soon; tokens of this registry still hold")
}

fn refused(kind: &ErrorKind) -> Unknown {
    let reason = match kind {
        ErrorKind::ExpiredSignature => return Unknown::Lapsed("this token has expired".into()),
        ErrorKind::ImmatureSignature => {
            return Unknown::Lapsed("the time of this token has not come".into());
        }
        ErrorKind::InvalidIssuer => "this token has another issuer".into(),
        ErrorKind::InvalidAudience => "this token is for another audience".into(),
        ErrorKind::MissingRequiredClaim(claim) => format!("this token has no `{claim}`"),
        _ => "this token is not signed by the issuer".into(),
    };
    Unknown::Forged(reason)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::rights::Right;

    fn issuer(claim: &str, roles: &[(&str, Role)]) -> Issuer {
        let settings = OidcSettings {
            issuer: "https://id.example".into(),
            audience: "desk".into(),
            roles_claim: claim.into(),
            roles: roles
                .iter()
                .map(|(name, role)| ((*name).to_owned(), *role))
                .collect(),
            sign_in: None,
        };
        Issuer::new(settings, || Err(ServeError::SignIn("no key".into()))).unwrap()
    }

    fn roles(issuer: &Issuer, claims: &str) -> String {
        issuer
            .roles(&serde_json::from_str(claims).unwrap())
            .to_string()
    }

    #[test]
    fn roles_are_read_from_the_claim() {
        let plain = issuer("roles", &[]);
        assert_eq!(
            roles(&plain, r#"{"roles": ["approver", "root", "viewer"]}"#),
            "viewer, approver"
        );
        assert_eq!(
            roles(&plain, r#"{"roles": "viewer requester"}"#),
            "viewer, requester"
        );
        assert_eq!(roles(&plain, r#"{"roles": 7, "other": ["admin"]}"#), "");
        let inner = issuer("realm_access.roles", &[("dpo", Role::Approver)]);
        let claims = r#"{"realm_access": {"roles": ["dpo", "admin"]}}"#;
        assert_eq!(
            roles(&inner, claims),
            "approver",
            "names of roles count no more"
        );
        let found = inner.roles(&serde_json::from_str(claims).unwrap());
        assert!(found.may(Right::Approve) && !found.may(Right::Operate));
    }
}
