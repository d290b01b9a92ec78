//! Lists of the samples that models were trained on, and their blocks, from untrusted bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    disinherit_registry::read_sample_list(bytes);
});
