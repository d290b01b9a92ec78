//! The digest of a data set.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The BLAKE3 digest of a data set: 64 hexadecimal digits, stored as that text.
///
/// ```
/// use disinherit_data::DataDigest;
///
/// let text = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
/// let digest: DataDigest = text.parse()?;
/// assert_eq!(digest.to_string(), text);
/// assert!("none".parse::<DataDigest>().is_err());
/// # Ok::<(), disinherit_data::DigestError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DataDigest([u8; 32]);

/// A text that is no digest of a data set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the digest of a data set: 64 hexadecimal digits are expected")]
pub struct DigestError(pub String);

impl DataDigest {
    pub(crate) fn from_hash(hash: blake3::Hash) -> Self {
        Self(hash.into())
    }
}

impl fmt::Display for DataDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for DataDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl FromStr for DataDigest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        blake3::Hash::from_hex(text)
            .map(Self::from_hash)
            .map_err(|_| DigestError(text.to_owned()))
    }
}

impl TryFrom<String> for DataDigest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DataDigest> for String {
    fn from(digest: DataDigest) -> Self {
        digest.to_string()
    }
}
