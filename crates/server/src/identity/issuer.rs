//! Tokens of an OpenID Connect issuer: signed by its keys, for this audience, in their time.

use std::collections::BTreeMap;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde_json::{Map, Value};

use super::caller::{Caller, Roles, Unknown};
use super::keyset::{KeyError, KeySet};
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
}

/// An issuer that is trusted.
#[derive(Debug)]
pub(crate) struct Issuer {
    settings: OidcSettings,
    keys: KeySet,
}

impl Issuer {
    pub(crate) fn new(settings: OidcSettings) -> Result<Self, ServeError> {
        let keys = KeySet::new(&settings.issuer).map_err(ServeError::Issuer)?;
        Ok(Self { settings, keys })
    }

    /// Reads the issuer's keys before the first call. One that cannot be reached now is asked again later.
    pub(crate) async fn prepare(&self) -> Result<(), ServeError> {
        match self.keys.fetch().await {
            Err(KeyError::Wrong(reason)) => Err(ServeError::Issuer(reason)),
            Err(KeyError::Unreachable(reason)) => {
                tracing::error!(
                    issuer = self.settings.issuer,
                    reason,
                    "the issuer cannot be reached"
                );
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Whose token it is.
    pub(crate) async fn caller(&self, secret: &str) -> Result<Caller, Unknown> {
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
        let found = self.keys.find(kid, header.alg).await.map_err(unreachable)?;
        let key = found.ok_or_else(|| forged("the issuer has no such key".into()))?;
        let claims = decode::<Map<String, Value>>(secret, &key, &self.rules(header.alg));
        let claims = claims.map_err(|error| refused(error.kind()))?.claims;
        let subject = claims
            .get("sub")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let plain = !subject.is_empty() && !subject.chars().any(char::is_control);
        if !plain || subject.chars().count() > LONGEST {
            return Err(forged("the token names no subject that can be kept".into()));
        }
        let role = self.roles(&claims);
        if role.is_empty() {
            let claim = &self.settings.roles_claim;
            let detail = format!("the claim `{claim}` of this token names no role of this server");
            let status = axum::http::StatusCode::FORBIDDEN;
            return Err(Unknown::Failed(Problem::new(
                status,
                "/problems/forbidden",
                detail,
            )));
        }
        let name = format!("{}#{subject}", self.settings.issuer);
        Ok(Caller {
            token: None,
            identity: name.as_str().into(),
            name,
            role,
        })
    }

    fn rules(&self, algorithm: Algorithm) -> Validation {
        let mut rules = Validation::new(algorithm);
        rules.leeway = LEEWAY;
        rules.validate_nbf = true;
        rules.set_issuer(&[&self.settings.issuer]);
        rules.set_audience(&[&self.settings.audience]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        rules
    }

    fn roles(&self, claims: &Map<String, Value>) -> Roles {
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

fn unreachable(error: KeyError) -> Unknown {
    let (KeyError::Wrong(reason) | KeyError::Unreachable(reason)) = error;
    tracing::error!(reason, "the issuer's keys cannot be read");
    let status = axum::http::StatusCode::SERVICE_UNAVAILABLE;
    let detail = "the keys of the tokens' issuer cannot be read now";
    let problem = Problem::new(status, "/problems/issuer", detail);
    Unknown::Failed(problem.with_hint("try again soon; tokens of this registry still hold"))
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
        Issuer::new(OidcSettings {
            issuer: "https://id.example".into(),
            audience: "desk".into(),
            roles_claim: claim.into(),
            roles: roles
                .iter()
                .map(|(name, role)| ((*name).to_owned(), *role))
                .collect(),
        })
        .unwrap()
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
