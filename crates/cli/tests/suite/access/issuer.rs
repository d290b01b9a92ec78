//! A small OpenID Connect issuer: discovery, keys, tokens, and people who sign in.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
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

use crate::access::grants::Grants;

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

/// A call as it came.
pub(crate) struct Call {
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// An answer: the status line, a header, the body.
pub(crate) struct Reply {
    pub(crate) status: &'static str,
    pub(crate) header: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(status: &'static str, body: &Value) -> Self {
        Self {
            status,
            header: "content-type: application/json".into(),
            body: body.to_string(),
        }
    }

    pub(crate) fn to(place: &str) -> Self {
        Self {
            status: "302 Found",
            header: format!("location: {place}"),
            body: String::new(),
        }
    }
}

/// An issuer that answers on a thread of its own.
pub(crate) struct Issuer {
    pub(crate) url: String,
    keys: Arc<Mutex<Vec<Jwk>>>,
    /// How often its keys were read.
    read: Arc<AtomicUsize>,
    /// Who signs in, and how.
    pub(crate) grants: Arc<Mutex<Grants>>,
}

impl Issuer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let keys: Arc<Mutex<Vec<Jwk>>> = Arc::default();
        let read = Arc::new(AtomicUsize::new(0));
        let grants: Arc<Mutex<Grants>> = Arc::default();
        let issuer = Self {
            url: url.clone(),
            keys: Arc::clone(&keys),
            read: Arc::clone(&read),
            grants: Arc::clone(&grants),
        };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let discovery = json!({
                    "issuer": url, "jwks_uri": format!("{url}/keys"),
                    "authorization_endpoint": format!("{url}/authorize"),
                    "token_endpoint": format!("{url}/token"),
                    "end_session_endpoint": format!("{url}/leave"),
                });
                answer(stream, |call| match call.path.as_str() {
                    "/.well-known/openid-configuration" => Reply::json("200 OK", &discovery),
                    // One that speaks for another.
                    "/other/.well-known/openid-configuration" => Reply::json("200 OK", &discovery),
                    "/keys" => {
                        read.fetch_add(1, Ordering::SeqCst);
                        Reply::json("200 OK", &json!({"keys": *keys.lock().unwrap()}))
                    }
                    "/authorize" => grants.lock().unwrap().authorize(&call.query),
                    "/token" => grants.lock().unwrap().token(call),
                    _ => Reply::json("404 Not Found", &json!({})),
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

fn answer(mut stream: TcpStream, find: impl FnOnce(&Call) -> Reply) {
    let reply = find(&call(&stream));
    let (status, header, length) = (reply.status, reply.header, reply.body.len());
    let head = format!(
        "HTTP/1.1 {status}\r\n{header}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    // A client that has gone away is none of an issuer's business.
    let _ = stream.write_all(format!("{head}{}", reply.body).as_bytes());
}

fn call(stream: &TcpStream) -> Call {
    let mut reader = BufReader::new(stream);
    let mut line = || {
        let mut text = String::new();
        let _ = reader.read_line(&mut text);
        text.trim_end().to_owned()
    };
    let first = line();
    let asked = first.split(' ').nth(1).unwrap_or_default();
    let (path, query) = asked.split_once('?').unwrap_or((asked, ""));
    let mut headers = BTreeMap::new();
    while let Some((name, value)) = line().split_once(':') {
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length");
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    let _ = reader.read_exact(&mut body);
    Call {
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        body: String::from_utf8(body).unwrap(),
    }
}
