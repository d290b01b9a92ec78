//! Signing in at the issuer: codes, and ID tokens for them. Everybody is alice, and agrees.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;
use url::form_urlencoded::parse;

use crate::access::issuer::{Call, Key, Reply};

/// Codes that were given out, and how the issuer behaves.
#[derive(Default)]
pub(crate) struct Grants {
    /// What ID tokens say beside the nonce, and what they are signed with.
    pub(crate) claims: Value,
    pub(crate) key: Option<Arc<Key>>,
    /// What replaces claims; null takes one away.
    pub(crate) other: BTreeMap<&'static str, Value>,
    /// What is added to the way back instead of a code.
    pub(crate) error: Option<&'static str>,
    /// The client's secret, where it has one.
    pub(crate) secret: Option<&'static str>,
    /// Whether a code can be used again.
    pub(crate) forgetful: bool,
    /// What the token endpoint answers instead of a token.
    pub(crate) fault: Option<(&'static str, Value)>,
    /// With what visitors were last sent here.
    pub(crate) asked: BTreeMap<String, String>,
    given: BTreeMap<String, BTreeMap<String, String>>,
    count: usize,
}

fn pairs(text: &str) -> BTreeMap<String, String> {
    parse(text.as_bytes()).into_owned().collect()
}

impl Grants {
    /// Sends a visitor back with a code.
    pub(crate) fn authorize(&mut self, query: &str) -> Reply {
        self.asked = pairs(query);
        assert_eq!(self.asked["response_type"], "code");
        assert_eq!(self.asked["code_challenge_method"], "S256");
        let mut back = Url::parse(&self.asked["redirect_uri"]).unwrap();
        back.query_pairs_mut()
            .append_pair("state", &self.asked["state"]);
        if let Some(error) = self.error {
            return Reply::to(&format!("{back}&{error}"));
        }
        self.count += 1;
        let code = format!("code-{}", self.count);
        back.query_pairs_mut().append_pair("code", &code);
        self.given.insert(code, self.asked.clone());
        Reply::to(back.as_str())
    }

    /// Gives an ID token for a code.
    pub(crate) fn token(&mut self, call: &Call) -> Reply {
        let form = pairs(&call.body);
        let refused = |error: &str| Reply::json("400 Bad Request", &json!({ "error": error }));
        if let Some((status, body)) = &self.fault {
            return Reply::json(status, body);
        }
        let client = match self.secret {
            Some(secret) => {
                let pair = BASE64_STANDARD.encode(format!("desk-page:{secret}"));
                call.headers.get("authorization") == Some(&format!("Basic {pair}"))
            }
            None => form.contains_key("client_id"),
        };
        if !client {
            return refused("invalid_client");
        }
        assert_eq!(form["grant_type"], "authorization_code");
        let Some(asked) = self.given.get(&form["code"]).cloned() else {
            return refused("invalid_grant");
        };
        if !self.forgetful {
            self.given.remove(&form["code"]);
        }
        let digest = Sha256::digest(form["code_verifier"].as_bytes());
        let proven = BASE64_URL_SAFE_NO_PAD.encode(digest) == asked["code_challenge"];
        if !proven || form["redirect_uri"] != asked["redirect_uri"] {
            return refused("invalid_grant");
        }
        let mut claims = self.claims.clone();
        claims["nonce"] = json!(asked["nonce"]);
        claims["aud"] = json!(asked["client_id"]);
        for (name, value) in &self.other {
            claims[*name] = value.clone();
        }
        claims
            .as_object_mut()
            .unwrap()
            .retain(|_, value| !value.is_null());
        let token = self.key.as_ref().unwrap().sign(&claims);
        let body =
            json!({"access_token": "not for here", "token_type": "Bearer", "id_token": token});
        Reply::json("200 OK", &body)
    }
}
