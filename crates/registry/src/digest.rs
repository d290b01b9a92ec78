//! Content digests.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use disinherit_formats::for_pieces;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// The text of a digest.
type Hex = const_hex::Buffer<32>;

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
        f.pad(Hex::new().format(&self.0))
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, ParseDigestError> {
        let mut bytes = [0; 32];
        match text.len() == 64 && const_hex::decode_to_slice(text, &mut bytes).is_ok() {
            true => Ok(Self(bytes)),
            false => Err(ParseDigestError(text.to_owned())),
        }
    }
}

// Manifests have a digest for each tensor, and requests read thousands of manifests: none takes a string of its own.
impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(Hex::new().format(&self.0))
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_digest_by_all_its_digits() {
        let digest = Digest::from_content(b"abc");
        let text = digest.to_string();
        assert_eq!(text, blake3::hash(b"abc").to_hex().as_str());
        assert_eq!(text.parse::<Digest>().unwrap(), digest);
        for wrong in [
            &text[1..],
            &format!("{text}0"),
            &format!("0x{text}"),
            &format!("0x{}", &text[2..]),
            &text.replace(|digit: char| digit.is_ascii_digit(), "g"),
        ] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong}");
        }
    }
}
