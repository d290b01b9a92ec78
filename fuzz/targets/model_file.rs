//! Models that others made: PyTorch state dicts, ONNX graphs, safetensors.
#![no_main]

use disinherit_formats::{FileFormat, TensorSource};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else {
        return;
    };
    let Ok(folder) = tempfile::tempdir() else {
        return;
    };
    let ending = ["pt", "onnx", "safetensors"][usize::from(*kind) % 3];
    let file = folder.path().join(format!("model.{ending}"));
    if std::fs::write(&file, rest).is_err() {
        return;
    }
    if let Ok(model) = disinherit_formats::open(&file) {
        let _ = disinherit_formats::find_head(&model.tensors(), None, None);
        for name in model.tensors().into_keys() {
            let _ = model.tensor(&name);
        }
        for part in &model.format.files {
            if let FileFormat::Onnx(format) = &part.format {
                let _ = disinherit_formats::layer_below(rest, &format.features);
                let _ = disinherit_formats::graph_steps(rest, &format.features);
            }
        }
    }
});
