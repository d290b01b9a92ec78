//! A model larger than the memory that it is imported, edited on all layers and exported in.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use disinherit_formats::{Checkpoint, Tensor, TensorSource, write_checkpoint};
use disinherit_registry::{CardSource, Digest, FisherCard};
use fiun::{Dampening, Estimator, FisherTensor, HeadFisher, LayerFisher, dampen};

use crate::common::Place;

const ROWS: usize = 2048;
const COLS: usize = 4096;
const LAYERS: usize = 3;

/// What a command may hold: less than the model's 96 MiB, and no more than three of its layers take.
const MOST: u64 = 96 << 20;

/// Numbers between 1 and 2 that follow no pattern of rows.
fn numbers(seed: usize) -> Vec<f32> {
    let number = |i: usize| 1.0 + ((i * 31 + seed * 7919) % 1009) as f32 / 1009.0;
    (0..ROWS * COLS).map(number).collect()
}

fn layer(number: usize) -> String {
    format!("layer{number}.weight")
}

fn model(seed: usize) -> BTreeMap<String, Tensor> {
    let layers = (0..LAYERS).map(|n| {
        let values = numbers(seed + n);
        (layer(n), Tensor::from_f32(&[ROWS, COLS], &values))
    });
    let head = [
        ("fc.weight".to_owned(), Tensor::from_f32(&[2, 3], &[1.0; 6])),
        ("fc.bias".to_owned(), Tensor::from_f32(&[2], &[1.0; 2])),
    ];
    layers.chain(head).collect()
}

/// A FIM with a scale of its own in each row.
fn fisher(seed: usize) -> FisherTensor {
    let scales = (0..ROWS).map(|row| 2f64.powi((row % 5) as i32 - seed as i32));
    FisherTensor::from_parts(vec![ROWS, COLS], numbers(seed), scales.collect()).unwrap()
}

fn head(size: f32) -> LayerFisher {
    let tensor = |shape: &[usize]| {
        let values = vec![size; shape.iter().product()];
        FisherTensor::from_values(shape, &values).unwrap()
    };
    LayerFisher::new(tensor(&[2, 3]), tensor(&[2])).unwrap()
}

fn card(model: Digest, seed: usize) -> FisherCard {
    let source = CardSource {
        model,
        data: "elsewhere".into(),
        head: "fc".into(),
        outputs: vec!["a".into(), "b".into()],
        classes: vec!["a".into(), "b".into()],
        precision: None,
        time: 0,
    };
    let head = HeadFisher {
        estimator: Estimator::Empirical,
        counts: vec![10, 10],
        per_class: vec![head(1.0), head(1.0)],
        total: head(1.0),
    };
    let inner = (0..LAYERS).map(|n| (layer(n), fisher(seed + n)));
    FisherCard::new(source, head, inner.collect()).unwrap()
}

/// Runs a command and returns the most memory that it held, as Linux tells it.
fn peak(place: &Place, arguments: &[&str]) -> u64 {
    let mut child = Command::new(assert_cmd::cargo::cargo_bin!("disinherit"))
        .current_dir(place.folder.path())
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut most = 0;
    let status = loop {
        // A mark of the highest, so that nothing between two looks is missed.
        let text = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("VmHWM:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        most = most.max(kibibytes.unwrap_or(0) << 10);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    assert!(status.success(), "{arguments:?}");
    assert!(most > 0, "{arguments:?}: the system does not tell");
    most
}

/// What the edit of a layer must be, with all of it in memory.
fn dampened(weights: &[f32], seeds: [usize; 2], means: [f64; 2], dampening: Dampening) -> Vec<f32> {
    let [forget, own] = [0, 1].map(|at| fisher(seeds[at]).times(1.0 / means[at]));
    let mut out = vec![0.0; weights.len()];
    dampen(weights, &forget, &own, dampening, &mut out).unwrap();
    out
}

/// The mean over all that a card holds.
fn mean(seed: usize) -> f64 {
    let layers: f64 = (0..LAYERS).map(|n| fisher(seed + n).sum()).sum();
    (8.0 + layers) / (8 + LAYERS * ROWS * COLS) as f64
}

fn digest(place: &Place, name: &str) -> Digest {
    let shown = place.json(&["show", name, "--json"]);
    shown["digest"].as_str().unwrap().parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_model_is_never_in_memory_as_a_whole() {
    let place = Place::new();
    let mut most = BTreeMap::new();
    let bring = |name: &str, seed: usize, more: &[&str]| {
        let file = place.path(&format!("{name}.safetensors"));
        write_checkpoint(&file, &model(seed), HashMap::new()).unwrap();
        let file = file.to_string_lossy().into_owned();
        let arguments = ["add", &file, "--name", name, "--labels", "a,b"];
        let added = peak(&place, &[&arguments[..], more].concat());
        let bytes = card(digest(&place, name), seed).to_bytes().unwrap();
        let file = place.path(&format!("{name}.card"));
        fs::write(&file, bytes).unwrap();
        let carded = peak(&place, &["fisher", "import", &file.to_string_lossy()]);
        [("add", added), ("fisher import", carded)]
    };
    let clinic = ["--trained-on", "photos", "--source", "clinic"];
    most.extend(bring("base", 1, &clinic));
    let child = ["--parent", "base", "--trained-on", "more"];
    most.extend(bring("child", 11, &child));
    let unlearn = ["unlearn", "--forget", "source=clinic", "--layers", "all"];
    let unlearn = [&unlearn[..], &["--alpha", "1", "--lambda", "0.5"]].concat();
    let dry = peak(&place, &[&unlearn[..], &["--dry-run"]].concat());
    most.insert("unlearn --dry-run", dry);
    most.insert("unlearn", peak(&place, &unlearn));
    let export = ["export", "child", "out.safetensors"];
    most.insert("export", peak(&place, &export));
    let over = most.values().any(|bytes| *bytes >= MOST);
    let mib: BTreeMap<&str, u64> = most.iter().map(|(what, b)| (*what, b >> 20)).collect();
    assert!(!over, "MiB at most: {mib:?}");
    check(&place.path("out.safetensors"));
    place.run(&["fsck"]).success();
}

/// Every layer is what it would be if all were held at once.
fn check(exported: &Path) {
    let file = Checkpoint::open(exported).unwrap();
    let dampening = Dampening::new(1.0, 0.5).unwrap();
    let means = [mean(1), mean(11)];
    for n in 0..LAYERS {
        let before = numbers(11 + n);
        let after = file.tensor(&layer(n)).unwrap().to_f32().unwrap();
        let expected = dampened(&before, [1 + n, 11 + n], means, dampening);
        assert!(after == expected, "{}", layer(n));
        assert!(after != before, "{}: nothing was selected", layer(n));
    }
}
