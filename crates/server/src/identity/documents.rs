//! Documents of an issuer, read over connections that others cannot alter.

use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use serde::de::DeserializeOwned;

/// How long the issuer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The longest document that is read, in bytes.
const LONGEST: usize = 1 << 20;

/// Why there is no document.
#[derive(Debug, Clone)]
pub(super) enum AskError {
    /// What the issuer says cannot be used.
    Wrong(String),
    /// It does not answer.
    Unreachable(String),
}

impl AskError {
    pub(super) fn reason(&self) -> &str {
        let (Self::Wrong(reason) | Self::Unreachable(reason)) = self;
        reason
    }
}

/// An answer to a form.
#[derive(Debug)]
pub(super) struct Posted {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

/// Asks an issuer. Redirections are not followed.
#[derive(Debug, Clone)]
pub(super) struct Documents {
    client: Client,
}

impl Documents {
    pub(super) fn new() -> Result<Self, String> {
        let client = Client::builder()
            .timeout(PATIENCE)
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { client })
    }

    /// Reads a document.
    pub(super) async fn get<T: DeserializeOwned>(&self, place: &str) -> Result<T, AskError> {
        let answer = self.client.get(place).send().await;
        let answer = answer.map_err(|error| away(place, &error))?;
        let status = answer.status();
        if !status.is_success() {
            return Err(refused(place, status));
        }
        let body = whole(place, answer).await?;
        serde_json::from_slice(&body)
            .map_err(|error| AskError::Wrong(format!("{place} cannot be read: {error}")))
    }

    /// Sends a form, with credentials in the header where there are some. What the issuer refuses is an answer too.
    pub(super) async fn post(
        &self,
        place: &str,
        form: String,
        credentials: Option<String>,
    ) -> Result<Posted, AskError> {
        let kind = "application/x-www-form-urlencoded";
        let call = self.client.post(place).header(CONTENT_TYPE, kind);
        let call = match credentials {
            Some(credentials) => call.header(AUTHORIZATION, credentials),
            None => call,
        };
        let answer = call.header(ACCEPT, "application/json").body(form).send();
        let answer = answer.await.map_err(|error| away(place, &error))?;
        let status = answer.status();
        if !status.is_success() && !status.is_client_error() || is_busy(status) {
            return Err(refused(place, status));
        }
        let body = whole(place, answer).await?;
        Ok(Posted { status, body })
    }
}

async fn whole(place: &str, mut answer: Response) -> Result<Vec<u8>, AskError> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|error| away(place, &error))? {
        body.extend_from_slice(&piece);
        if body.len() > LONGEST {
            let reason = format!("{place} says more than {LONGEST} bytes");
            return Err(AskError::Wrong(reason));
        }
    }
    Ok(body)
}

fn away(place: &str, error: &reqwest::Error) -> AskError {
    AskError::Unreachable(format!("{place}: {error}"))
}

fn is_busy(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

fn refused(place: &str, status: StatusCode) -> AskError {
    let reason = format!("{place} answers {status}");
    match is_busy(status) {
        true => AskError::Unreachable(reason),
        false => AskError::Wrong(reason),
    }
}

/// Refuses addresses whose answers others could alter on their way.
pub(super) fn secure(place: &str) -> Result<Url, String> {
    let url = Url::parse(place).map_err(|error| format!("`{place}` is no URL: {error}"))?;
    let host = url.host_str().unwrap_or_default();
    let here = host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        "https" => Ok(url),
        "http" if here => Ok(url),
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
            assert!(secure(good).is_ok(), "{good}");
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
