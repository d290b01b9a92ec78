//! What stands for a sample's id: 16 bytes of a keyed hash.

use std::fmt;

use crate::error::RegistryError;

/// 16 bytes that stand for an id. Equal ids have equal marks under one key; that different ones do is as
/// unlikely as 2^-64 for four billion ids.
pub(crate) type Mark = [u8; 16];

/// What marks are made with where ids are kept in clear anyway.
const PUBLIC: &str = "disinherit sample list 1";

/// What tells one key from another, without saying anything of it.
const CHECKED: &[u8] = b"disinherit sample key 1";

/// What stands before a mark that is written in the place of an id.
const WRITTEN: &str = "hashed:";
const DIGITS: [char; 16] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
];

/// A key: who does not have it cannot try out ids.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SampleKey([u8; 32]);

impl SampleKey {
    /// The key of lists with ids in clear, which everybody knows.
    pub(crate) fn public() -> Self {
        Self(blake3::derive_key(PUBLIC, &[]))
    }

    /// A new key, from the system's source of randomness.
    pub(crate) fn random() -> Result<Self, RegistryError> {
        use rand::TryRng;
        let mut key = [0; 32];
        let filled = rand::rngs::SysRng.try_fill_bytes(&mut key);
        filled.map_err(|error| RegistryError::Document {
            what: "key of sample ids".into(),
            reason: format!("none can be made: {error}"),
        })?;
        Ok(Self(key))
    }

    /// Reads a key from 64 hexadecimal digits.
    pub(crate) fn from_hex(text: &str) -> Result<Self, RegistryError> {
        let key = blake3::Hash::from_hex(text).map_err(|error| RegistryError::Document {
            what: "key of sample ids".into(),
            reason: error.to_string(),
        })?;
        Ok(Self(*key.as_bytes()))
    }

    /// The key in 64 hexadecimal digits.
    pub(crate) fn to_hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    /// What stands for an id under this key.
    pub(crate) fn mark(&self, id: &[u8]) -> Mark {
        first(blake3::keyed_hash(&self.0, id))
    }

    /// What is written in the place of an id: its mark in hexadecimal digits, which [`SampleKey::wrote`] tells
    /// from an id.
    pub(crate) fn written(&self, id: &str) -> String {
        let mut text = WRITTEN.to_owned();
        for byte in self.mark(id.as_bytes()) {
            text.extend([byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]));
        }
        text
    }

    /// Whether a text was written in the place of an id.
    pub(crate) fn wrote(text: &str) -> bool {
        let digits = text.strip_prefix(WRITTEN);
        digits
            .is_some_and(|digits| digits.len() == 32 && digits.chars().all(|c| DIGITS.contains(&c)))
    }

    /// What a list keeps to tell whether it was made with this key.
    pub(crate) fn check(&self) -> [u8; 8] {
        first(blake3::keyed_hash(&self.0, CHECKED))
    }
}

/// The first bytes of a hash.
fn first<const N: usize>(hash: blake3::Hash) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&hash.as_bytes()[..N]);
    bytes
}

impl fmt::Debug for SampleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SampleKey")
    }
}
