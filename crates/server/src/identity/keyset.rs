//! The keys of an issuer, found by discovery, and read again when a token names one that is not known.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::documents::{AskError, Documents, secure};

/// How old keys may be before they are read again.
const OLD: Duration = Duration::from_secs(3600);

/// How often the issuer is asked at most: forged tokens must not make this server ask at their pace.
const SELDOM: Duration = Duration::from_secs(10);

/// What discovery says.
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
    #[serde(flatten)]
    endpoints: Endpoints,
}

/// Where the issuer signs people in and out, as far as it says so.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Endpoints {
    #[serde(default)]
    pub(super) authorization_endpoint: Option<String>,
    #[serde(default)]
    pub(super) token_endpoint: Option<String>,
    #[serde(default)]
    pub(super) end_session_endpoint: Option<String>,
    /// How clients say who they are at the token endpoint; with a header where this is not said.
    #[serde(default)]
    pub(super) token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// Keys that were read.
#[derive(Debug)]
struct Known {
    keys: JwkSet,
    endpoints: Endpoints,
    read: Instant,
}

/// The keys of one issuer.
#[derive(Debug)]
pub(super) struct KeySet {
    issuer: String,
    documents: Documents,
    known: RwLock<Option<Arc<Known>>>,
    /// When the issuer was asked last. Held while it is asked, so that it is asked once for all who wait.
    asked: Mutex<Option<Instant>>,
}

impl KeySet {
    pub(super) fn new(issuer: &str, documents: Documents) -> Result<Self, String> {
        secure(issuer)?;
        Ok(Self {
            issuer: issuer.to_owned(),
            documents,
            known: RwLock::default(),
            asked: Mutex::default(),
        })
    }

    /// Where the issuer signs people in and out.
    pub(super) async fn endpoints(&self) -> Result<Endpoints, AskError> {
        if self.known().is_none() {
            self.read_again().await?;
        }
        let unknown = || AskError::Unreachable("it did not answer a moment ago".into());
        self.known_endpoints().ok_or_else(unknown)
    }

    /// The same, as far as it was read already.
    pub(super) fn known_endpoints(&self) -> Option<Endpoints> {
        self.known().map(|known| known.endpoints.clone())
    }

    /// The key of this name for this signature. One that is not known is looked for at the issuer.
    pub(super) async fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Option<DecodingKey>, AskError> {
        let known = self.known();
        let fresh = known
            .as_ref()
            .is_some_and(|known| known.read.elapsed() < OLD);
        let found = known
            .as_ref()
            .and_then(|known| choose(&known.keys, kid, algorithm));
        if fresh && found.is_some() {
            return Ok(found);
        }
        match (self.read_again().await, found) {
            // Old keys are better than none: the issuer may be away for a while.
            (Err(error), Some(found)) => {
                tracing::warn!(
                    ?error,
                    "the issuer's keys are old, and cannot be read again"
                );
                Ok(Some(found))
            }
            (Err(error), None) => Err(error),
            (Ok(()), _) => {
                let known = self.known();
                Ok(known.and_then(|known| choose(&known.keys, kid, algorithm)))
            }
        }
    }

    fn known(&self) -> Option<Arc<Known>> {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Reads the keys, unless the issuer was asked a moment ago.
    async fn read_again(&self) -> Result<(), AskError> {
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|asked| asked.elapsed() < SELDOM) {
            let reason = || AskError::Unreachable("it did not answer a moment ago".into());
            return self.known().map(|_| ()).ok_or_else(reason);
        }
        *asked = Some(Instant::now());
        self.fetch().await
    }

    /// Reads the keys.
    pub(super) async fn fetch(&self) -> Result<(), AskError> {
        let place = format!(
            "{}/.well-known/openid-configuration",
            self.issuer.trim_end_matches('/')
        );
        let found: Discovered = self.documents.get(&place).await?;
        if found.issuer != self.issuer {
            return Err(AskError::Wrong(format!(
                "{place} speaks for `{}`, not for `{}`",
                found.issuer, self.issuer
            )));
        }
        secure(&found.jwks_uri).map_err(AskError::Wrong)?;
        let keys: JwkSet = self.documents.get(&found.jwks_uri).await?;
        tracing::info!(
            issuer = self.issuer,
            keys = keys.keys.len(),
            "the issuer's keys were read"
        );
        let known = Known {
            keys,
            endpoints: found.endpoints,
            read: Instant::now(),
        };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(known));
        Ok(())
    }
}

/// The key of a set that a token names, or the only one that fits where it names none.
fn choose(keys: &JwkSet, kid: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
    let fits = |key: &&Jwk| {
        let common = &key.common;
        let signs = matches!(common.public_key_use, None | Some(PublicKeyUse::Signature));
        let named = common
            .key_algorithm
            .is_none_or(|known| known.to_string() == name(algorithm));
        signs && named
    };
    let mut fitting = keys.keys.iter().filter(fits).filter_map(|key| {
        let named = kid.is_none_or(|kid| key.common.key_id.as_deref() == Some(kid));
        let decoding = named.then(|| DecodingKey::from_jwk(key).ok())??;
        (decoding.family() == algorithm.family()).then_some(decoding)
    });
    let found = fitting.next()?;
    match (kid, fitting.next()) {
        // Which one is meant?
        (None, Some(_)) => None,
        _ => Some(found),
    }
}

fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::RS256 => "RS256",
        Algorithm::ES256 => "ES256",
        Algorithm::EdDSA => "EdDSA",
        _ => "",
    }
}
