//! Keys in PEM: Ed25519, and the elliptic curve P-256, which signatures of models need.

use disinherit_registry::Digest;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{self, DecodePrivateKey, DecodePublicKey, EncodePrivateKey};
use ed25519_dalek::pkcs8::{EncodePublicKey, spki};
use p256::ecdsa;
use p256::ecdsa::signature::{Signer, Verifier};
use rand::TryRng;

use crate::error::EngineError;

/// What a key signs with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeyKind {
    /// Ed25519.
    #[default]
    Ed25519,
    /// ECDSA over P-256 with SHA-256.
    P256,
}

/// A key to sign with.
pub struct SecretKey(Secret);

enum Secret {
    Ed25519(ed25519_dalek::SigningKey),
    P256(ecdsa::SigningKey),
}

fn refuse_secret(error: pkcs8::Error) -> EngineError {
    EngineError::Key(format!("the private key cannot be used: {error}"))
}

fn refuse_public(error: spki::Error) -> EngineError {
    EngineError::Key(format!("the public key cannot be used: {error}"))
}

fn random() -> Result<[u8; 32], EngineError> {
    let mut seed = [0; 32];
    rand::rngs::SysRng
        .try_fill_bytes(&mut seed)
        .map_err(|error| EngineError::Key(format!("cannot make a key: {error}")))?;
    Ok(seed)
}

impl SecretKey {
    /// A new key, from the system's source of randomness.
    ///
    /// # Errors
    /// [`EngineError::Key`] when that has none.
    pub fn generate(kind: KeyKind) -> Result<Self, EngineError> {
        if kind == KeyKind::Ed25519 {
            let key = ed25519_dalek::SigningKey::from_bytes(&random()?);
            return Ok(Self(Secret::Ed25519(key)));
        }
        // Of 2^32 numbers of 256 bits, one is not below the order of the curve.
        loop {
            if let Ok(key) = ecdsa::SigningKey::from_slice(&random()?) {
                return Ok(Self(Secret::P256(key)));
            }
        }
    }

    /// Reads a key (PKCS#8, PEM).
    ///
    /// # Errors
    /// [`EngineError::Key`].
    pub fn from_pem(text: &str) -> Result<Self, EngineError> {
        if let Ok(key) = ecdsa::SigningKey::from_pkcs8_pem(text) {
            return Ok(Self(Secret::P256(key)));
        }
        ed25519_dalek::SigningKey::from_pkcs8_pem(text)
            .map(|key| Self(Secret::Ed25519(key)))
            .map_err(refuse_secret)
    }

    /// The key in PEM (PKCS#8).
    ///
    /// # Errors
    /// [`EngineError::Key`].
    pub fn to_pem(&self) -> Result<String, EngineError> {
        let pem = match &self.0 {
            Secret::Ed25519(key) => key.to_pkcs8_pem(LineEnding::LF),
            Secret::P256(key) => key.to_pkcs8_pem(LineEnding::LF),
        };
        pem.map(|text| text.to_string()).map_err(refuse_secret)
    }

    /// What it signs with.
    pub fn kind(&self) -> KeyKind {
        match self.0 {
            Secret::Ed25519(_) => KeyKind::Ed25519,
            Secret::P256(_) => KeyKind::P256,
        }
    }

    /// The key to check with.
    pub fn public(&self) -> PublicKey {
        PublicKey(match &self.0 {
            Secret::Ed25519(key) => Public::Ed25519(key.verifying_key()),
            Secret::P256(key) => Public::P256(*key.verifying_key()),
        })
    }

    pub(super) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        match &self.0 {
            Secret::Ed25519(key) => key.sign(bytes).to_vec(),
            Secret::P256(key) => {
                let signature: ecdsa::DerSignature = key.sign(bytes);
                signature.as_bytes().to_vec()
            }
        }
    }
}

/// A key to check with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(Public);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Public {
    Ed25519(ed25519_dalek::VerifyingKey),
    P256(ecdsa::VerifyingKey),
}

impl PublicKey {
    /// Reads a key (SPKI, PEM).
    ///
    /// # Errors
    /// [`EngineError::Key`].
    pub fn from_pem(text: &str) -> Result<Self, EngineError> {
        if let Ok(key) = ecdsa::VerifyingKey::from_public_key_pem(text) {
            return Ok(Self(Public::P256(key)));
        }
        ed25519_dalek::VerifyingKey::from_public_key_pem(text)
            .map(|key| Self(Public::Ed25519(key)))
            .map_err(refuse_public)
    }

    /// The key in PEM (SPKI).
    ///
    /// # Errors
    /// [`EngineError::Key`].
    pub fn to_pem(&self) -> Result<String, EngineError> {
        match &self.0 {
            Public::Ed25519(key) => key.to_public_key_pem(LineEnding::LF),
            Public::P256(key) => key.to_public_key_pem(LineEnding::LF),
        }
        .map_err(|error| EngineError::Key(format!("the public key cannot be written: {error}")))
    }

    /// What is signed with.
    pub fn kind(&self) -> KeyKind {
        match self.0 {
            Public::Ed25519(_) => KeyKind::Ed25519,
            Public::P256(_) => KeyKind::P256,
        }
    }

    /// A short name: the first 16 digits of the BLAKE3 digest of the key, which is 32 bytes for Ed25519 and
    /// the 65 bytes of the point, not compressed, for P-256.
    pub fn id(&self) -> String {
        let digest = match &self.0 {
            Public::Ed25519(key) => Digest::from_content(key.as_bytes()),
            Public::P256(key) => Digest::from_content(key.to_sec1_point(false).as_bytes()),
        };
        digest.to_string()[..16].to_owned()
    }

    pub(super) fn signed(&self, bytes: &[u8], signature: &[u8]) -> bool {
        match &self.0 {
            Public::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(bytes, &signature).is_ok()),
            Public::P256(key) => ecdsa::DerSignature::from_bytes(signature)
                .is_ok_and(|signature| key.verify(bytes, &signature).is_ok()),
        }
    }
}
