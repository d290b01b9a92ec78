//! Secrets and signatures of the Standard Webhooks specification.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use rand::TryRng;
use sha2::Sha256;

/// What every secret begins with.
const PREFIX: &str = "whsec_";

/// The shortest and the longest key, in bytes.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// A new secret, from the system's randomness.
pub(super) fn new_secret() -> Result<String, String> {
    let mut key = [0; 32];
    let filled = rand::rngs::SysRng.try_fill_bytes(&mut key);
    filled.map_err(|error| error.to_string())?;
    Ok(format!("{PREFIX}{}", STANDARD.encode(key)))
}

/// The key of a secret.
pub(super) fn key(secret: &str) -> Result<Vec<u8>, String> {
    let wrong = || {
        format!(
            "a secret is `{PREFIX}` and {} to {} bytes in base64",
            LENGTHS.start(),
            LENGTHS.end()
        )
    };
    let text = secret.strip_prefix(PREFIX).ok_or_else(wrong)?;
    let key = STANDARD.decode(text).map_err(|_| wrong())?;
    match LENGTHS.contains(&key.len()) {
        true => Ok(key),
        false => Err(wrong()),
    }
}

/// The header `webhook-signature` of a message: HMAC-SHA256 over its id, the time in seconds and its body.
pub(super) fn signature(key: &[u8], id: &str, seconds: u64, body: &str) -> Result<String, String> {
    let mac = Hmac::<Sha256>::new_from_slice(key);
    let mut mac = mac.map_err(|error| error.to_string())?;
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    let code = STANDARD.encode(mac.finalize().into_bytes());
    Ok(format!("v1,{code}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The example of the specification's reference libraries.
    #[test]
    fn a_message_is_signed_as_the_specification_says() {
        let key = key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signed = signature(&key, id, 1_614_265_330, r#"{"test": 2432232314}"#).unwrap();
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_have_a_key_of_some_length() {
        assert_eq!(key(&new_secret().unwrap()).unwrap().len(), 32);
        for wrong in [
            "",
            "whsec_",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_AAAA",
            "whsec_?",
        ] {
            assert!(key(wrong).is_err(), "{wrong}");
        }
        let long = format!("whsec_{}", STANDARD.encode([0; 65]));
        assert!(key(&long).is_err());
    }
}
