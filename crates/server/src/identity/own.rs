//! Tokens: made from the system's randomness, shown once, kept as hashes.

use disinherit::model::now;
use disinherit::registry::{AccessToken, Registry, RegistryError};
use rand::TryRng;
use sha2::{Digest, Sha256};

use super::caller::{Caller, Unknown};
use crate::error::ServeError;
use crate::rights::Role;

/// What every token begins with, so that scanners for secrets know one.
const PREFIX: &str = "disinherit_";

/// The longest name.
const LONGEST: usize = 100;

/// A token that was just made. The secret is in no other place.
#[derive(Debug)]
pub struct Made {
    /// Its number.
    pub id: i64,
    /// What is given to its holder.
    pub secret: String,
    /// What is kept.
    pub token: AccessToken,
}

/// Makes a token for somebody (`name`), which holds for so many milliseconds; `by` made it.
///
/// # Errors
/// [`ServeError::Token`] for a name that cannot be kept or where the system has no randomness; the
/// registry's.
pub fn make_token(
    registry: &Registry,
    by: &str,
    name: &str,
    role: Role,
    length: u64,
) -> Result<Made, ServeError> {
    let plain = !name.trim().is_empty() && !name.chars().any(char::is_control);
    if !plain || name.chars().count() > LONGEST {
        let reason = format!("a name has 1 to {LONGEST} characters, none of them for control");
        return Err(ServeError::Token(reason));
    }
    let mut seed = [0; 32];
    rand::rngs::SysRng
        .try_fill_bytes(&mut seed)
        .map_err(|error| ServeError::Token(error.to_string()))?;
    let secret = format!("{PREFIX}{}", hexadecimal(&seed));
    let created = now();
    let mut token = AccessToken {
        id: 0,
        hash: hash(&secret),
        name: name.to_owned(),
        role: role.to_string(),
        created_by: by.to_owned(),
        created,
        expires: created.saturating_add(length),
        revoked: None,
        used: None,
    };
    let id = registry.add_token(&token)?;
    token.id = id;
    Ok(Made { id, secret, token })
}

/// What is kept of a secret. It has 256 random bits, so that one round of a hash is enough.
pub(crate) fn hash(secret: &str) -> String {
    hexadecimal(&Sha256::digest(secret.as_bytes()))
}

/// Bytes as text.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a secret looks like a token of this registry.
pub(crate) fn is_registrys(secret: &str) -> bool {
    secret.starts_with(PREFIX)
}

/// The holder of a token that was found by its hash.
pub(crate) fn holder(token: Option<AccessToken>) -> Result<Caller, Unknown> {
    let Some(token) = token else {
        let reason = "a token is needed, and must be known, not expired and not revoked";
        return Err(Unknown::Forged(reason.into()));
    };
    let role: Role = token.role.parse().map_err(|reason| {
        let what = "role of a token".to_owned();
        Unknown::Failed(RegistryError::Document { what, reason }.into())
    })?;
    Ok(Caller {
        token: Some(token.id),
        identity: token.id.to_string().into(),
        name: token.name,
        role: role.into(),
    })
}
