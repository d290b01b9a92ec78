//! Certificates: the envelope, and the statement in it once a key has signed it.
#![no_main]

use std::sync::LazyLock;

use disinherit::certificate::{Envelope, PublicKey, SecretKey, Statement};
use libfuzzer_sys::fuzz_target;

static KEY: LazyLock<Option<PublicKey>> =
    LazyLock::new(|| SecretKey::generate().ok().map(|key| key.public()));

fuzz_target!(|bytes: &[u8]| {
    if let (Ok(envelope), Some(key)) = (Envelope::read(bytes), KEY.as_ref()) {
        // No document is signed with this key.
        assert!(envelope.open(key).is_err());
    }
    let _ = serde_json::from_slice::<Statement>(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = PublicKey::from_pem(text);
        let _ = SecretKey::from_pem(text);
    }
});
