//! Why a server does not start, or a token or a webhook is not made.

use std::path::PathBuf;

use disinherit::EngineError;
use disinherit::registry::RegistryError;

/// Why a server does not start or go on, or a token or a webhook is not made or tried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The registry.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The address cannot be listened on, or the runtime cannot be started.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was to be done.
        action: String,
        /// Why it was not.
        source: std::io::Error,
    },
    /// A certificate or its key cannot be used.
    #[error("cannot use {} for TLS: {reason}", file.display())]
    Tls {
        /// The file.
        file: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Tokens of an issuer cannot be checked.
    #[error("cannot take tokens of the issuer: {0}")]
    Issuer(String),
    /// People cannot sign in through the issuer.
    #[error("cannot offer the issuer's sign-in: {0}")]
    SignIn(String),
    /// A webhook that cannot be made.
    #[error("cannot make a webhook: {0}")]
    Webhook(String),
    /// There is no webhook of this number.
    #[error("there is no webhook {0}")]
    NoWebhook(i64),
    /// A message that has not arrived.
    #[error("the message has not arrived at {url}: {reason}")]
    NotDelivered {
        /// Where it was sent to.
        url: String,
        /// Why it has not.
        reason: String,
    },
    /// A token that cannot be made.
    #[error("cannot make a token: {0}")]
    Token(String),
}

impl ServeError {
    /// What was to be done when the system failed.
    pub(crate) fn io(action: &str) -> impl FnOnce(std::io::Error) -> Self {
        let action = action.to_owned();
        move |source| Self::Io { action, source }
    }
}

impl From<RegistryError> for ServeError {
    fn from(error: RegistryError) -> Self {
        Self::Engine(error.into())
    }
}
