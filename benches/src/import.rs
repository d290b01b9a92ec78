//! Bringing many checkpoints that share a backbone, and what the capture in PyTorch costs.

use std::collections::HashMap;
use std::error::Error;
use std::time::Instant;

use disinherit::import::{AddModel, add};
use disinherit_formats::write_checkpoint;
use disinherit_nets::Preprocessing;
use disinherit_registry::Registry;

use crate::family::{labels, resnet, state, tensors};
use crate::line::Line;
use crate::peer;

/// Checkpoints of 45 MB.
const MODELS: usize = 100;

pub(crate) fn run() -> Result<Vec<Line>, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let registry = Registry::create(folder.path())?;
    let mut model = state(1)?;
    let file = folder.path().join("model.safetensors");
    let (mut bytes, mut adding, mut copying) = (0, 0.0, 0.0);
    for number in 0..MODELS {
        if let Some(bias) = model.get_mut("fc.bias") {
            bias.values[0] = number as f32;
        }
        if let Some(weight) = model.get_mut("fc.weight") {
            weight.values[0] = number as f32;
        }
        write_checkpoint(&file, &tensors(&model), HashMap::new())?;
        bytes += std::fs::metadata(&file)?.len();
        let start = Instant::now();
        add(
            &registry,
            &AddModel {
                name: format!("model-{number}"),
                file: file.clone(),
                architecture: resnet(),
                preprocessing: Preprocessing::default(),
                labels: labels(),
                parents: Vec::new(),
                training: Vec::new(),
                time: None,
                untied: false,
            },
        )?;
        adding += start.elapsed().as_secs_f64();
        let start = Instant::now();
        let copy = folder.path().join("copy");
        std::fs::copy(&file, &copy)?;
        std::fs::File::open(&copy)?.sync_all()?;
        copying += start.elapsed().as_secs_f64();
    }
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let stored: u64 = registry.traffic().1;
    let mut lines = vec![
        Line::plain(
            format!("{MODELS} checkpoints, their files"),
            mib(bytes),
            "MiB",
        ),
        Line::plain(format!("{MODELS} checkpoints, stored"), mib(stored), "MiB"),
        Line::milliseconds(
            "adding one",
            adding / MODELS as f64,
            Some(copying / MODELS as f64),
            "copying the file",
        ),
    ];
    lines.extend(capture());
    Ok(lines)
}

/// A pass over 1,024 images with capture, and a plain one, in PyTorch.
fn capture() -> Option<Line> {
    let [with, without] = peer::numbers("capture.py", &[])?;
    Some(Line::milliseconds(
        "capture in PyTorch, ResNet-18, 1,024 images of 32x32",
        with,
        Some(without),
        "a plain forward pass",
    ))
}
