//! Content digests.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use disinherit_formats::for_pieces;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// A text that is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a digest (64 hexadecimal digits)")]
pub struct ParseDigestError(String);

/// A BLAKE3 digest, written as 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of some content.
    pub fn from_content(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The digest of content that comes piece by piece.
    pub(crate) fn from_hasher(hasher: &blake3::Hasher) -> Self {
        Self(*hasher.finalize().as_bytes())
    }

    /// The digest of all that can be read.
    ///
    /// # Errors
    /// What reading says.
    pub fn from_reader(reader: &mut dyn Read) -> io::Result<Self> {
        Self::from_pieces(reader, |_| {})
    }

    /// The digest of all that can be read, and a look at each piece of it ([`disinherit_formats::PIECE`]) on the way.
    ///
    /// # Errors
    /// What reading says.
    pub fn from_pieces(reader: &mut dyn Read, mut look: impl FnMut(&[u8])) -> io::Result<Self> {
        let mut hasher = blake3::Hasher::new();
        for_pieces(reader, |piece| {
            hasher.update(piece);
            look(piece);
            Ok::<_, io::Error>(())
        })?;
        Ok(Self::from_hasher(&hasher))
    }

    /// A digest from its bytes.
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, ParseDigestError> {
        let hash = blake3::Hash::from_hex(text).map_err(|_| ParseDigestError(text.to_owned()))?;
        Ok(Self(*hash.as_bytes()))
    }
}

// Manifests have a digest for each tensor, and requests read thousands of manifests: none takes a string of its own.
impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Digest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a digest (64 hexadecimal digits)")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Digest, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}
