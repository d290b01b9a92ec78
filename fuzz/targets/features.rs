//! Features that others captured, and what model folders say of themselves.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else {
        return;
    };
    let Ok(folder) = tempfile::tempdir() else {
        return;
    };
    let options = disinherit_data::OpenOptions::default();
    match kind % 3 {
        0 => {
            let file = folder.path().join("features.safetensors");
            if std::fs::write(&file, rest).is_ok() {
                let _ = disinherit_data::open(&file.to_string_lossy(), &options);
            }
        }
        1 => {
            // One array serves as features and as labels.
            let write = |name: &str| std::fs::write(folder.path().join(name), rest);
            if write("features.npy").is_ok() && write("labels.npy").is_ok() {
                let _ = disinherit_data::open(&folder.path().to_string_lossy(), &options);
            }
        }
        _ => {
            let path = Path::new("config.json");
            let _ =
                disinherit_formats::HubConfig::parse(path, rest).map(|config| config.labels(path));
            if let Ok(text) = std::str::from_utf8(rest) {
                let _ = disinherit_formats::HubCard::parse(path, text);
            }
        }
    }
});
