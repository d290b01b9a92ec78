//! Safetensors files.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = tempfile::NamedTempFile::new() else {
        return;
    };
    if std::fs::write(file.path(), bytes).is_err() {
        return;
    }
    if let Ok(tensors) = disinherit_formats::read_checkpoint(file.path()) {
        // What was believed must be whole.
        for tensor in tensors.values() {
            let _ = tensor.to_f32();
        }
    }
});
