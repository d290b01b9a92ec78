//! Keys (Ed25519), in PEM.

use disinherit_registry::Digest;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use crate::error::EngineError;

fn refuse(what: &str) -> impl FnOnce(ed25519_dalek::pkcs8::Error) -> EngineError {
    move |error| EngineError::Key(format!("the {what} key cannot be used: {error}"))
}

/// A key to sign with.
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// A new key, from the system's source of randomness.
    ///
    /// # Errors
    /// [`EngineError::Key`] when that has none.
    pub fn generate() -> Result<Self, EngineError> {
        use rand::TryRng;
        let mut seed = [0; 32];
        rand::rngs::SysRng
            .try_fill_bytes(&mut seed)
            .map_err(|error| EngineError::Key(format!("cannot make a key: {error}")))?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// Reads a key (PKCS#8, PEM).
    ///
    /// # Errors
    /// [`EngineError::Key`].
    pub fn from_pem(text: &str) -> Result<Self, EngineError> {
        SigningKey::from_pkcs8_pem(text)
            .map(Self)
            .map_err(refuse("private"))
    }

    /// The key in PEM (PKCS#8).
    ///
    /// # Errors
    /// [`EngineError::Key`].
    pub fn to_pem(&self) -> Result<String, EngineError> {
        let pem = self.0.to_pkcs8_pem(LineEnding::LF);
        pem.map(|text| text.to_string()).map_err(refuse("private"))
    }

    /// The key to check with.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    pub(super) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.0.sign(bytes).to_vec()
    }
}

/// A key to check with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Reads a key (SPKI, PEM).
    ///
    /// # Errors
    /// [`EngineError::Key`].
    pub fn from_pem(text: &str) -> Result<Self, EngineError> {
        VerifyingKey::from_public_key_pem(text)
            .map(Self)
            .map_err(|error| EngineError::Key(format!("the public key cannot be used: {error}")))
    }

    /// The key in PEM (SPKI).
    ///
    /// # Errors
    /// [`EngineError::Key`].
    pub fn to_pem(&self) -> Result<String, EngineError> {
        self.0
            .to_public_key_pem(LineEnding::LF)
            .map_err(|error| EngineError::Key(format!("the public key cannot be written: {error}")))
    }

    /// A short name: the first 16 digits of the key's BLAKE3 digest.
    pub fn id(&self) -> String {
        Digest::from_content(self.0.as_bytes()).to_string()[..16].to_owned()
    }

    pub(super) fn signed(&self, bytes: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.0.verify_strict(bytes, &signature).is_ok())
    }
}
