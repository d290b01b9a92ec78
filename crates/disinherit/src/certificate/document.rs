//! What signed documents have in common.

use sha2::{Digest, Sha256};

/// The SHA-256 digest of some bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes).as_slice())
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A time as RFC 3339 has it, from milliseconds since 1970-01-01 UTC.
pub fn timestamp(time: u64) -> String {
    i64::try_from(time)
        .ok()
        .and_then(|time| jiff::Timestamp::from_millisecond(time).ok())
        .unwrap_or(jiff::Timestamp::MAX)
        .to_string()
}
