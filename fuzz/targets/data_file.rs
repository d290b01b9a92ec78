//! Data sets in Parquet.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(folder) = tempfile::tempdir() else {
        return;
    };
    let file = folder.path().join("train.parquet");
    if std::fs::write(&file, bytes).is_ok() {
        let options = disinherit_data::OpenOptions {
            size: Some((8, 8)),
            ..disinherit_data::OpenOptions::default()
        };
        let _ = disinherit_data::open(&folder.path().to_string_lossy(), &options);
    }
});
