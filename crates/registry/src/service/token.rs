//! Tokens: who may use a server, as what, until when.

use serde::Serialize;

/// A token, without its secret: only the hash is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccessToken {
    /// Its number; 0 for one that is about to be kept.
    pub id: i64,
    /// The hash of the secret, in hexadecimal.
    #[serde(skip)]
    pub hash: String,
    /// Whose it is: the actor of what is done with it.
    pub name: String,
    /// The name of the role.
    pub role: String,
    /// Who made it.
    pub created_by: String,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub created: u64,
    /// Until when it holds, in milliseconds since 1970-01-01 UTC.
    pub expires: u64,
    /// When it was revoked, if it was.
    pub revoked: Option<u64>,
    /// When it was used last, to the minute, if it was.
    pub used: Option<u64>,
}

impl AccessToken {
    /// Whether it holds at this time.
    pub fn holds(&self, now: u64) -> bool {
        self.revoked.is_none() && now < self.expires
    }
}
