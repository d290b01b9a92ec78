//! Data sets in Parquet.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(folder) = tempfile::tempdir() else {
        return;
    };
    let file = folder.path().join("train.parquet");
    if std::fs::write(&file, bytes).is_ok() {
        let options = data::OpenOptions {
            size: Some((8, 8)),
            ..data::OpenOptions::default()
        };
        let _ = data::open(&folder.path().to_string_lossy(), &options);
    }
});
