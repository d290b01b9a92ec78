//! A small OpenID Connect issuer: discovery, keys, tokens.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256, PublicKeyData};
use serde_json::{Value, json};

/// A key of an issuer.
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) pair: KeyPair,
}

impl Key {
    pub(crate) fn new(id: &str, algorithm: Algorithm) -> Self {
        let kind = match algorithm {
            Algorithm::RS256 => &PKCS_RSA_SHA256,
            Algorithm::ES256 => &PKCS_ECDSA_P256_SHA256,
            _ => &PKCS_ED25519,
        };
        let pair = KeyPair::generate_for(kind).unwrap();
        let id = id.to_owned();
        Self {
            id,
            algorithm,
            pair,
        }
    }

    pub(crate) fn signing(&self) -> EncodingKey {
        let der = self.pair.serialize_der();
        match self.algorithm {
            // The key inside of its PKCS #8 envelope, whose head has this length for 2048 bits.
            Algorithm::RS256 => EncodingKey::from_rsa_der(&der[26..]),
            Algorithm::ES256 => EncodingKey::from_ec_der(&der),
            _ => EncodingKey::from_ed_der(&der),
        }
    }

    pub(crate) fn public(&self) -> Jwk {
        let mut jwk = match self.algorithm {
            // The library makes none of a private key that has its public key with it.
            Algorithm::EdDSA => {
                let x = BASE64_URL_SAFE_NO_PAD.encode(self.pair.der_bytes());
                let key = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": x});
                serde_json::from_value(key).unwrap()
            }
            algorithm => Jwk::from_encoding_key(&self.signing(), algorithm).unwrap(),
        };
        jwk.common.key_id = Some(self.id.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        jwk
    }

    pub(crate) fn header(&self) -> Header {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.id.clone());
        header
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        encode(&self.header(), claims, &self.signing()).unwrap()
    }
}

/// An issuer that answers on a thread of its own.
pub(crate) struct Issuer {
    pub(crate) url: String,
    keys: Arc<Mutex<Vec<Jwk>>>,
    /// How often its keys were read.
    read: Arc<AtomicUsize>,
}

impl Issuer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let keys: Arc<Mutex<Vec<Jwk>>> = Arc::default();
        let read = Arc::new(AtomicUsize::new(0));
        let issuer = Self {
            url: url.clone(),
            keys: Arc::clone(&keys),
            read: Arc::clone(&read),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let discovery = json!({"issuer": url, "jwks_uri": format!("{url}/keys")});
                answer(stream, |path| match path {
                    "/.well-known/openid-configuration" => Some(discovery),
                    // One that speaks for another.
                    "/other/.well-known/openid-configuration" => Some(discovery),
                    "/keys" => {
                        read.fetch_add(1, Ordering::SeqCst);
                        Some(json!({"keys": *keys.lock().unwrap()}))
                    }
                    _ => None,
                });
            }
        });
        issuer
    }

    pub(crate) fn publish(&self, keys: &[&Key]) {
        *self.keys.lock().unwrap() = keys.iter().map(|key| key.public()).collect();
    }

    pub(crate) fn read(&self) -> usize {
        self.read.load(Ordering::SeqCst)
    }

    /// Claims that hold: of `alice`, for `desk`, for five minutes.
    pub(crate) fn claims(&self, roles: &[&str]) -> Value {
        let now = now();
        json!({
            "iss": self.url, "aud": ["desk", "other"], "sub": "alice", "iat": now, "nbf": now, "exp": now + 300,
            "realm_access": {"roles": roles},
        })
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

fn answer(mut stream: TcpStream, find: impl FnOnce(&str) -> Option<Value>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let first = lines.next().and_then(Result::ok).unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    while lines
        .next()
        .and_then(Result::ok)
        .is_some_and(|line| !line.is_empty())
    {}
    let (status, body) = match find(&path) {
        Some(body) => ("200 OK", body.to_string()),
        None => ("404 Not Found", String::new()),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    // A client that has gone away is none of an issuer's business.
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}
