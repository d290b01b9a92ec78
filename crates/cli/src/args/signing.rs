//! Keys that models are signed with.

use std::path::Path;

use disinherit::certificate::{KeyKind, SecretKey};

use crate::error::CliError;
use crate::files;

/// A key that models can be signed with.
pub(crate) fn signing_key(file: &Path) -> Result<SecretKey, CliError> {
    let key = SecretKey::from_pem(&files::read_text(file)?)?;
    if key.kind() != KeyKind::P256 {
        return Err(CliError::new(format!(
            "{} cannot sign models: it is no key over P-256",
            file.display()
        ))
        .help("make one with `disinherit key FILE --kind p256`"));
    }
    Ok(key)
}
