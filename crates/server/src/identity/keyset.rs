//! The keys of an issuer, found by discovery, and read again when a token names one that is not known.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::{Client, Url, redirect};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;

/// How old keys may be before they are read again.
const OLD: Duration = Duration::from_secs(3600);

/// How often the issuer is asked at most: forged tokens must not make this server ask at their pace.
const SELDOM: Duration = Duration::from_secs(10);

/// How long the issuer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest document that is read, in bytes.
const LONGEST: usize = 1 << 20;

/// Why there are no keys.
#[derive(Debug, Clone)]
pub(super) enum KeyError {
    /// What the issuer says cannot be used.
    Wrong(String),
    /// It does not answer.
    Unreachable(String),
}

/// What discovery says.
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

/// Keys that were read.
#[derive(Debug)]
struct Known {
    keys: JwkSet,
    read: Instant,
}

/// The keys of one issuer.
#[derive(Debug)]
pub(super) struct KeySet {
    issuer: String,
    client: Client,
    known: RwLock<Option<Arc<Known>>>,
    /// When the issuer was asked last. Held while it is asked, so that it is asked once for all who wait.
    asked: Mutex<Option<Instant>>,
}

impl KeySet {
    pub(super) fn new(issuer: &str) -> Result<Self, String> {
        secure(issuer)?;
        let client = Client::builder()
            .timeout(PATIENCE)
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            issuer: issuer.to_owned(),
            client,
            known: RwLock::default(),
            asked: Mutex::default(),
        })
    }

    /// The key of this name for this signature. One that is not known is looked for at the issuer.
    pub(super) async fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Option<DecodingKey>, KeyError> {
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
    async fn read_again(&self) -> Result<(), KeyError> {
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|asked| asked.elapsed() < SELDOM) {
            let reason = || KeyError::Unreachable("it did not answer a moment ago".into());
            return self.known().map(|_| ()).ok_or_else(reason);
        }
        *asked = Some(Instant::now());
        self.fetch().await
    }

    /// Reads the keys.
    pub(super) async fn fetch(&self) -> Result<(), KeyError> {
        let place = format!(
            "{}/.well-known/openid-configuration",
            self.issuer.trim_end_matches('/')
        );
        let found: Discovered = self.read(&place).await?;
        if found.issuer != self.issuer {
            return Err(KeyError::Wrong(format!(
                "{place} speaks for `{}`, not for `{}`",
                found.issuer, self.issuer
            )));
        }
        secure(&found.jwks_uri).map_err(KeyError::Wrong)?;
        let keys: JwkSet = self.read(&found.jwks_uri).await?;
        tracing::info!(
            issuer = self.issuer,
            keys = keys.keys.len(),
            "the issuer's keys were read"
        );
        let known = Known {
            keys,
            read: Instant::now(),
        };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(known));
        Ok(())
    }

    async fn read<T: DeserializeOwned>(&self, place: &str) -> Result<T, KeyError> {
        let away = |error: reqwest::Error| KeyError::Unreachable(format!("{place}: {error}"));
        let answer = self.client.get(place).send().await.map_err(away)?;
        let status = answer.status();
        if status.is_server_error() || status.as_u16() == 429 {
            return Err(KeyError::Unreachable(format!("{place} answers {status}")));
        }
        if !status.is_success() {
            return Err(KeyError::Wrong(format!("{place} answers {status}")));
        }
        let mut answer = answer;
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(away)? {
            body.extend_from_slice(&piece);
            if body.len() > LONGEST {
                let reason = format!("{place} says more than {LONGEST} bytes");
                return Err(KeyError::Wrong(reason));
            }
        }
        serde_json::from_slice(&body)
            .map_err(|error| KeyError::Wrong(format!("{place} cannot be read: {error}")))
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

/// Refuses addresses whose answers others could alter on their way.
fn secure(place: &str) -> Result<(), String> {
    let url = Url::parse(place).map_err(|error| format!("`{place}` is no URL: {error}"))?;
    let host = url.host_str().unwrap_or_default();
    let here = host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        "https" => Ok(()),
        "http" if here => Ok(()),
        _ => Err(format!("`{place}` must begin with https://")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_speak_tls_or_are_on_this_machine() {
        for good in [
            "https://id.example/realms/a",
            "http://127.0.0.1:9",
            "http://[::1]:9",
            "http://localhost/x",
        ] {
            assert_eq!(secure(good), Ok(()), "{good}");
        }
        for wrong in [
            "http://id.example",
            "http://127.0.0.1.evil.example",
            "ftp://id.example",
            "id.example",
            "",
        ] {
            assert!(secure(wrong).is_err(), "{wrong}");
        }
    }
}
