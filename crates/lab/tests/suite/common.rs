//! What the tests of the laboratory share.

use disinherit_data::{OpenOptions, Splits, open};

/// The embedded digits.
pub fn digits() -> Splits {
    open("digits", &OpenOptions::default()).unwrap()
}
