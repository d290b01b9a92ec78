//! Making a webhook.

use disinherit::model::now;
use disinherit::registry::{ErasureState, Registry, Webhook, WebhookTally};
use url::{Host, Url};

use crate::error::ServeError;
use crate::webhooks::sign::{key, new_secret};

/// The longest address.
const LONGEST: usize = 2000;

/// The most attempts.
const MOST: u32 = 20;

/// The longest pause after the first attempt, in milliseconds: an hour.
const LONGEST_PAUSE: u64 = 3_600_000;

/// A webhook that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWebhook {
    /// Where messages go.
    pub url: String,
    /// What they are signed with, `whsec_` and base64; made when not given.
    pub secret: Option<String>,
    /// The states that are told; all when there are none.
    pub states: Vec<ErasureState>,
    /// How often a message is tried before it is given up.
    pub attempts: u32,
    /// The pause after the first attempt that failed, in milliseconds. Each next one is four times as long, a
    /// day at most.
    pub pause: u64,
    /// Whether messages may go unencrypted to other machines.
    pub allow_http: bool,
}

impl NewWebhook {
    /// The attempts where nothing is said: with [`NewWebhook::PAUSE`], over a day.
    pub const ATTEMPTS: u32 = 9;

    /// The pause after the first attempt where nothing is said, in milliseconds.
    pub const PAUSE: u64 = 5000;

    /// A webhook to an address, with what is usual for everything else: all states are told.
    pub fn to(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            secret: None,
            states: Vec::new(),
            attempts: Self::ATTEMPTS,
            pause: Self::PAUSE,
            allow_http: false,
        }
    }
}

/// Makes a webhook; `by` made it. What is returned has the secret.
///
/// # Errors
/// [`ServeError::Webhook`] for an address, a secret or a number that cannot be used; the registry's.
pub fn make_webhook(registry: &Registry, by: &str, new: NewWebhook) -> Result<Webhook, ServeError> {
    let url = checked(&new.url, new.allow_http).map_err(ServeError::Webhook)?;
    let secret = match new.secret {
        Some(secret) => key(&secret).map(|_| secret),
        None => new_secret(),
    };
    if !(1..=MOST).contains(&new.attempts) {
        let reason = format!("a message is tried 1 to {MOST} times");
        return Err(ServeError::Webhook(reason));
    }
    if !(1..=LONGEST_PAUSE).contains(&new.pause) {
        let reason = "the pause after the first attempt is a millisecond to an hour";
        return Err(ServeError::Webhook(reason.into()));
    }
    let mut webhook = Webhook {
        id: 0,
        url,
        secret: secret.map_err(ServeError::Webhook)?,
        states: new.states,
        attempts: new.attempts,
        pause: new.pause,
        created_by: by.to_owned(),
        created: now(),
        paused: None,
        tally: WebhookTally::default(),
    };
    webhook.id = registry.add_webhook(&webhook)?;
    Ok(webhook)
}

/// An address that messages may go to.
fn checked(text: &str, allow_http: bool) -> Result<String, String> {
    if text.len() > LONGEST {
        return Err(format!("an address has {LONGEST} characters at most"));
    }
    // What reads addresses leaves out line breaks, instead of refusing them.
    if text.contains(char::is_control) {
        return Err("an address has no control characters".into());
    }
    let url = Url::parse(text).map_err(|error| format!("`{text}` is no address: {error}"))?;
    // Addresses are shown in lists and logs.
    if !url.username().is_empty() || url.password().is_some() {
        return Err("an address has no name and no password: messages are signed".into());
    }
    if url.host().is_none() {
        return Err(format!("`{text}` names no machine"));
    }
    let scheme = url.scheme().to_owned();
    match (scheme.as_str(), is_loopback(&url) || allow_http) {
        ("https", _) | ("http", true) => Ok(url.into()),
        ("http", false) => Err(format!(
            "`{text}` is not encrypted: use https, or allow it for a network that you trust"
        )),
        (scheme, _) => Err(format!("messages go over https, not `{scheme}`")),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_encrypted_or_of_this_machine() {
        for fine in [
            "https://example.org/hook?a=1",
            "http://127.0.0.1:8000/",
            "http://[::1]/",
            "http://localhost/x",
        ] {
            assert!(checked(fine, false).is_ok(), "{fine}");
        }
        for wrong in [
            "http://example.org/",
            "http://10.0.0.1/",
            "ftp://example.org/",
            "file:///etc/passwd",
            "https://",
            "hook",
            "https://ann:secret@example.org/",
            "http://localhost.example.org/",
            "https://example.org/hook\r\nhost: evil.example",
            "https://example.org/\0",
        ] {
            assert!(checked(wrong, false).is_err(), "{wrong}");
        }
        assert!(checked("http://example.org/", true).is_ok());
        assert!(checked("file:///etc/passwd", true).is_err());
        assert!(
            checked(
                &format!("https://example.org/{}", "x".repeat(LONGEST)),
                true
            )
            .is_err()
        );
    }
}
