//! The envelope around a statement (DSSE).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::key::{PublicKey, SecretKey};
use super::statement::Statement;
use crate::error::EngineError;

const PAYLOAD: &str = "application/vnd.in-toto+json";

/// The largest certificate that is read.
const LARGEST: usize = 64 << 20;

/// A signed statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    #[serde(rename = "payloadType")]
    payload_type: String,
    payload: String,
    signatures: Vec<Signature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Signature {
    keyid: String,
    sig: String,
}

/// What is signed: type and payload, each with its length (DSSE, "PAE").
fn signed_bytes(payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {PAYLOAD} {} ", PAYLOAD.len(), payload.len()).into_bytes();
    bytes.extend(payload);
    bytes
}

fn refuse(reason: impl std::fmt::Display) -> EngineError {
    EngineError::Certificate(format!("the certificate cannot be used: {reason}"))
}

impl Envelope {
    pub(super) fn sign(statement: &impl Serialize, key: &SecretKey) -> Result<Self, EngineError> {
        let payload = serde_json::to_vec(statement).map_err(refuse)?;
        Ok(Self {
            payload_type: PAYLOAD.into(),
            signatures: vec![Signature {
                keyid: key.public().id(),
                sig: STANDARD.encode(key.sign(&signed_bytes(&payload))),
            }],
            payload: STANDARD.encode(payload),
        })
    }

    /// Reads an envelope; nothing in it is believed yet.
    ///
    /// # Errors
    /// [`EngineError::Certificate`] when it is too large or no envelope.
    pub fn read(bytes: &[u8]) -> Result<Self, EngineError> {
        if bytes.len() > LARGEST {
            return Err(refuse("it is larger than 64 MiB"));
        }
        let envelope: Self = serde_json::from_slice(bytes).map_err(refuse)?;
        if envelope.payload_type != PAYLOAD {
            return Err(refuse(format!(
                "its payload is `{}`, not `{PAYLOAD}`",
                envelope.payload_type
            )));
        }
        Ok(envelope)
    }

    /// As text.
    ///
    /// # Errors
    /// [`EngineError::Certificate`].
    pub fn to_json(&self) -> Result<String, EngineError> {
        serde_json::to_string_pretty(self).map_err(refuse)
    }

    /// What is signed, as it was written; nothing in it is believed yet.
    ///
    /// # Errors
    /// [`EngineError::Certificate`] when it cannot be decoded.
    pub fn payload(&self) -> Result<Vec<u8>, EngineError> {
        STANDARD.decode(&self.payload).map_err(refuse)
    }

    /// The ids of the keys that signed it, as it says itself.
    pub fn key_ids(&self) -> Vec<&str> {
        self.signatures.iter().map(|s| s.keyid.as_str()).collect()
    }

    /// The statement, if this key signed it.
    ///
    /// # Errors
    /// [`EngineError::Certificate`] when the signature is not this key's, or the statement has been
    /// altered or is of another kind.
    pub fn open(&self, key: &PublicKey) -> Result<Statement, EngineError> {
        let payload = self.payload()?;
        let bytes = signed_bytes(&payload);
        let signed = self.signatures.iter().any(|signature| {
            STANDARD
                .decode(&signature.sig)
                .is_ok_and(|sig| key.signed(&bytes, &sig))
        });
        if !signed {
            return Err(refuse(if self.key_ids().contains(&key.id().as_str()) {
                "its signature does not fit: it has been altered since it was signed".to_owned()
            } else {
                format!(
                    "it was signed with the key {}, not with {}",
                    self.key_ids().join(", "),
                    key.id()
                )
            }));
        }
        let statement: Statement = serde_json::from_slice(&payload).map_err(refuse)?;
        statement.check()?;
        Ok(statement)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::certificate::key::KeyKind;
    use crate::certificate::statement::tests::statement;

    #[test]
    fn what_is_signed_opens_again() {
        for kind in [KeyKind::Ed25519, KeyKind::P256] {
            opens_again(kind);
        }
    }

    fn opens_again(kind: KeyKind) {
        let key = SecretKey::generate(kind).unwrap();
        let read = SecretKey::from_pem(&key.to_pem().unwrap()).unwrap();
        assert_eq!(read.kind(), kind);
        let public = PublicKey::from_pem(&read.public().to_pem().unwrap()).unwrap();
        let envelope = Envelope::sign(&statement(), &key).unwrap();
        let text = envelope.to_json().unwrap();
        let opened = Envelope::read(text.as_bytes()).unwrap().open(&public);
        assert_eq!(opened.unwrap(), statement());
        let other = SecretKey::generate(kind).unwrap().public();
        let refused = envelope.open(&other).unwrap_err().to_string();
        assert!(refused.contains(&public.id()), "{refused}");
    }

    proptest! {
        /// Whatever is changed, the certificate is refused or says the same.
        #[test]
        fn no_change_goes_unnoticed(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            cut in any::<prop::sample::Index>(),
            cuts in any::<bool>(),
        ) {
            let key = SecretKey::from_pem(
                "-----BEGIN PRIVATE KEY-----\n\
                 MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
                 -----END PRIVATE KEY-----\n",
            ).unwrap();
            let whole = Envelope::sign(&statement(), &key).unwrap().to_json().unwrap();
            let mut bytes = whole.into_bytes();
            for (index, value) in changes {
                let place = index.index(bytes.len());
                bytes[place] = value;
            }
            if cuts {
                bytes.truncate(cut.index(bytes.len()));
            }
            let opened = Envelope::read(&bytes).and_then(|e| e.open(&key.public()));
            if let Ok(opened) = opened {
                prop_assert_eq!(opened, statement());
            }
        }
    }
}
