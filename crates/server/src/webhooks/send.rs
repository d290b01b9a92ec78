//! Sending a message: once, to where the webhook says and to nowhere else.

use std::time::Duration;

use disinherit::model::now;
use disinherit::registry::Webhook;
use ureq::http::header;
use ureq::tls::{RootCerts, TlsConfig};

use crate::webhooks::message::Message;
use crate::webhooks::sign::{key, signature};

/// How long an attempt may take, from the name's resolution to the answer's head.
const LONGEST: Duration = Duration::from_secs(10);

/// The longest reason that is kept, in characters.
const REASON: usize = 200;

/// Sends messages.
#[derive(Clone)]
pub(super) struct Sender {
    agent: ureq::Agent,
}

impl Sender {
    /// One that follows no redirection, uses no proxy of the environment, and waits for no receiver for long.
    pub(super) fn new() -> Self {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(std::sync::Arc::new(provider))
            .build();
        let config = ureq::Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .timeout_global(Some(LONGEST))
            .user_agent(concat!("disinherit/", env!("CARGO_PKG_VERSION")))
            .max_idle_connections(0)
            .build();
        Self {
            agent: config.into(),
        }
    }

    /// Sends a message, signed now.
    ///
    /// # Errors
    /// Why it has not arrived, in words.
    pub(super) fn send(&self, webhook: &Webhook, message: &Message) -> Result<(), String> {
        let seconds = now() / 1000;
        let key = key(&webhook.secret)?;
        let signature = signature(&key, &message.id, seconds, &message.body)?;
        let answer = self
            .agent
            .post(&webhook.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", seconds.to_string())
            .header("webhook-signature", signature)
            .send(message.body.as_str());
        match answer {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("it answered {}", answer.status().as_u16())),
            Err(error) => Err(plain(&error.to_string())),
        }
    }
}

/// A reason as it is kept.
fn plain(reason: &str) -> String {
    let plain = reason.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(REASON).collect()
}
