//! Sign-in through the issuer: the authorization code flow of OpenID Connect with PKCE.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::documents::{AskError, Documents, secure};
use super::flow::{Flow, FlowKey};
use super::keyset::Endpoints;
use crate::error::ServeError;

/// Where the issuer sends visitors back to.
pub(crate) const CALLBACK: &str = "/sign-in/callback";

/// What is always asked for: without it there is no ID token.
const OPENID: &str = "openid";

/// What a client says to the issuer to prove who it is. It is in no output.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientSecret(String);

impl ClientSecret {
    /// A secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret")
    }
}

/// How people sign in on the page through the issuer.
#[derive(Debug, Clone)]
pub struct SignInSettings {
    /// Where browsers reach this service: a scheme and a host, such as `https://desk.example.org`.
    pub public_url: String,
    /// What the issuer calls this service.
    pub client_id: String,
    /// Its secret at the issuer, if it has one.
    pub client_secret: Option<ClientSecret>,
    /// What is asked for beside `openid`.
    pub scopes: Vec<String>,
}

/// Sign-in through the issuer.
#[derive(Debug)]
pub(crate) struct SignIn {
    settings: SignInSettings,
    public: Url,
    key: FlowKey,
}

/// Why there is no ID token.
#[derive(Debug)]
pub(super) enum ExchangeError {
    /// The issuer does not take the code.
    Code(String),
    /// It cannot be asked, or does not take this client.
    Issuer(AskError),
}

impl From<AskError> for ExchangeError {
    fn from(error: AskError) -> Self {
        Self::Issuer(error)
    }
}

/// What the issuer gives for a code. Of its tokens only the one that says who signed in is used.
#[derive(Deserialize)]
struct Granted {
    id_token: Option<String>,
}

/// Why the issuer gives nothing (RFC 6749, section 5.2).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Denied {
    error: String,
    error_description: String,
}

impl SignIn {
    pub(super) fn new(settings: SignInSettings, key: FlowKey) -> Result<Self, ServeError> {
        let public = public(&settings.public_url).map_err(ServeError::SignIn)?;
        if settings.client_id.is_empty() {
            let reason = "the issuer must call this service something".to_owned();
            return Err(ServeError::SignIn(reason));
        }
        Ok(Self {
            settings,
            public,
            key,
        })
    }

    pub(super) fn key(&self) -> &FlowKey {
        &self.key
    }

    pub(super) fn client_id(&self) -> &str {
        &self.settings.client_id
    }

    /// Where browsers reach this service.
    pub(crate) fn public_url(&self) -> &Url {
        &self.public
    }

    /// Whether browsers reach this service over TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.public.scheme() == "https"
    }

    fn at(&self, path: &str) -> String {
        let mut place = self.public.clone();
        place.set_path(path);
        place.into()
    }

    /// Where a visitor goes to sign in. `again` asks the issuer to have them say anew who they are.
    pub(super) fn authorization(
        &self,
        endpoints: &Endpoints,
        flow: &Flow,
        again: bool,
    ) -> Result<Url, AskError> {
        let place = named(
            endpoints.authorization_endpoint.as_deref(),
            "authorization_endpoint",
        )?;
        let mut url = secure(place).map_err(AskError::Wrong)?;
        let parameters = flow.parameters(&self.key).map_err(AskError::Wrong)?;
        let more = self.settings.scopes.iter().map(String::as_str);
        let scopes: Vec<&str> = std::iter::once(OPENID)
            .chain(more.filter(|scope| *scope != OPENID))
            .collect();
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", &self.at(CALLBACK))
            .append_pair("scope", &scopes.join(" "))
            .append_pair("state", &parameters.state)
            .append_pair("nonce", &parameters.nonce)
            .append_pair("code_challenge", &parameters.challenge)
            .append_pair("code_challenge_method", "S256");
        if again {
            query.append_pair("prompt", "login");
        }
        drop(query);
        Ok(url)
    }

    /// Where a visitor goes to sign out of the issuer too, where it has such a place.
    pub(super) fn way_out(&self, endpoints: &Endpoints) -> Option<Url> {
        let mut url = secure(endpoints.end_session_endpoint.as_deref()?).ok()?;
        url.query_pairs_mut()
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("post_logout_redirect_uri", &self.at("/sign-in"));
        Some(url)
    }

    /// Gives a code back to the issuer, for an ID token.
    pub(super) async fn exchange(
        &self,
        documents: &Documents,
        endpoints: &Endpoints,
        code: &str,
        flow: &Flow,
    ) -> Result<String, ExchangeError> {
        let place = named(endpoints.token_endpoint.as_deref(), "token_endpoint")?;
        secure(place).map_err(AskError::Wrong)?;
        let verifier = flow.verifier(&self.key).map_err(AskError::Wrong)?;
        let (form, credentials) = self.form(endpoints, code, &verifier)?;
        let answer = documents.post(place, form, credentials).await?;
        if !answer.status.is_success() {
            let said: Denied = serde_json::from_slice(&answer.body).unwrap_or_default();
            return Err(denied(place, &said));
        }
        let granted: Result<Granted, _> = serde_json::from_slice(&answer.body);
        let token = granted.ok().and_then(|granted| granted.id_token);
        token.ok_or_else(|| AskError::Wrong(format!("{place} gives no ID token")).into())
    }

    /// The form for the token endpoint, and what its header says of this client.
    fn form(
        &self,
        endpoints: &Endpoints,
        code: &str,
        verifier: &str,
    ) -> Result<(String, Option<String>), AskError> {
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &self.at(CALLBACK))
            .append_pair("code_verifier", verifier);
        let id = &self.settings.client_id;
        let Some(ClientSecret(secret)) = &self.settings.client_secret else {
            return Ok((form.append_pair("client_id", id).finish(), None));
        };
        let methods = endpoints.token_endpoint_auth_methods_supported.as_ref();
        let takes = |method| methods.is_some_and(|known| known.iter().any(|name| name == method));
        if methods.is_none() || takes("client_secret_basic") {
            return Ok((form.finish(), Some(basic(id, secret))));
        }
        if takes("client_secret_post") {
            form.append_pair("client_id", id)
                .append_pair("client_secret", secret);
            return Ok((form.finish(), None));
        }
        let reason = "the issuer takes a client's secret neither in the header nor in the form";
        Err(AskError::Wrong(reason.into()))
    }
}

/// What the issuer must have for a sign-in.
pub(super) fn check(endpoints: &Endpoints) -> Result<(), AskError> {
    let authorization = endpoints.authorization_endpoint.as_deref();
    let token = endpoints.token_endpoint.as_deref();
    for (place, name) in [
        (authorization, "authorization_endpoint"),
        (token, "token_endpoint"),
    ] {
        secure(named(place, name)?).map_err(AskError::Wrong)?;
    }
    Ok(())
}

fn named<'a>(place: Option<&'a str>, name: &str) -> Result<&'a str, AskError> {
    place.ok_or_else(|| AskError::Wrong(format!("discovery names no `{name}`")))
}

/// A client's name and secret in the header, each encoded as in a form (RFC 6749, section 2.3.1).
fn basic(id: &str, secret: &str) -> String {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encoded(id), encoded(secret));
    format!("Basic {}", BASE64_STANDARD.encode(pair))
}

/// Why a code was not taken. All but a code that does not hold is for administrators.
fn denied(place: &str, said: &Denied) -> ExchangeError {
    let plain = |text: &str| -> String {
        let plain = text.chars().filter(|c| !c.is_control());
        plain.take(200).collect()
    };
    let (error, more) = (plain(&said.error), plain(&said.error_description));
    tracing::warn!(place, error, more, "the issuer gives no token for a code");
    match error.as_str() {
        "invalid_grant" => {
            let reason = "the issuer does not take this code: it was used, or is too old";
            ExchangeError::Code(reason.into())
        }
        _ => AskError::Wrong(format!("{place} says `{error}`: {more}")).into(),
    }
}

/// The address of this service as browsers see it.
fn public(text: &str) -> Result<Url, String> {
    let url = secure(text)?;
    let plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    match plain && url.username().is_empty() && url.password().is_none() {
        true => Ok(url),
        false => Err(format!(
            "`{text}` must be a scheme and a host, such as https://desk.example.org"
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::destination::Destination;

    fn sign_in(secret: Option<&str>) -> SignIn {
        let settings = SignInSettings {
            public_url: "https://desk.example.org".into(),
            client_id: "desk 1".into(),
            client_secret: secret.map(ClientSecret::new),
            scopes: vec!["openid".into(), "roles".into()],
        };
        SignIn::new(settings, FlowKey::from_text("11".repeat(32))).unwrap()
    }

    fn endpoints(text: &str) -> Endpoints {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_issuer_is_asked_as_the_specification_says() {
        let issuer =
            endpoints(r#"{"authorization_endpoint": "https://id.example/authorize?realm=a"}"#);
        let flow = Flow::begin(Destination::default(), 1).unwrap();
        let url = sign_in(None).authorization(&issuer, &flow, true).unwrap();
        let of = |name: &str| {
            let found = url.query_pairs().find(|(known, _)| known == name);
            found.unwrap().1.into_owned()
        };
        assert_eq!(of("realm"), "a", "what the endpoint has stays");
        assert_eq!(of("scope"), "openid roles");
        assert_eq!(of("prompt"), "login");
        assert_eq!(of("code_challenge_method"), "S256");
        assert_eq!(
            of("redirect_uri"),
            "https://desk.example.org/sign-in/callback"
        );
        let plain = endpoints(r#"{"authorization_endpoint": "http://id.example/authorize"}"#);
        assert!(sign_in(None).authorization(&plain, &flow, false).is_err());
    }

    #[test]
    fn a_client_says_who_it_is_as_the_issuer_takes_it() {
        let form = |secret, issuer: &str| sign_in(secret).form(&endpoints(issuer), "c", "v");
        let (body, credentials) = form(None, "{}").unwrap();
        assert!(body.ends_with("&code_verifier=v&client_id=desk+1") && credentials.is_none());
        let basic = BASE64_STANDARD.encode("desk+1:a%26b");
        let (body, credentials) = form(Some("a&b"), "{}").unwrap();
        assert_eq!(credentials, Some(format!("Basic {basic}")));
        assert!(!body.contains("secret"));
        let post = r#"{"token_endpoint_auth_methods_supported": ["client_secret_post"]}"#;
        let (body, credentials) = form(Some("a&b"), post).unwrap();
        assert!(body.ends_with("&client_secret=a%26b") && credentials.is_none());
        let other = r#"{"token_endpoint_auth_methods_supported": ["private_key_jwt"]}"#;
        assert!(form(Some("a&b"), other).is_err());
    }

    #[test]
    fn secrets_are_in_no_output() {
        assert!(!format!("{:?}", sign_in(Some("hush"))).contains("hush"));
    }

    #[test]
    fn the_public_address_has_a_host_and_no_path() {
        for good in ["https://desk.example.org", "http://127.0.0.1:8080/"] {
            assert!(public(good).is_ok(), "{good}");
        }
        for wrong in [
            "http://desk.example.org",
            "https://desk.example.org/desk",
            "https://a:b@desk.example.org",
            "https://desk.example.org/?x",
            "desk.example.org",
        ] {
            assert!(public(wrong).is_err(), "{wrong}");
        }
    }
}
