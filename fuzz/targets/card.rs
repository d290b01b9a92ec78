//! FIM cards, whole and in parts.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(card) = disinherit_registry::FisherCard::from_bytes(bytes) {
        assert!(
            card.to_bytes().is_ok(),
            "a card that was read can be written"
        );
    }
    disinherit_registry::read_card_index(bytes);
});
