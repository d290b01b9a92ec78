//! Which samples models were trained on: ten million ids in a registry, and a request for a thousand of them.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use disinherit::model::manifest;
use disinherit::{Engine, Matching, MatchingOptions, RunOptions};
use disinherit_formats::Tensor;
use disinherit_nets::{Architecture, Preprocessing};
use disinherit_registry::{Digest, ModelRow, NewModel, OperationRecord, Publication, Registry};
use serde_json::json;
use umig::{Forget, Model, ModelId, Request, SampleSet, Training};

use crate::line::{Line, memory, processor_time};

/// The argument that starts a measured process.
pub(crate) const CHILD: &str = "--plan-apart";

const MODELS: usize = 1000;

/// Models published in one operation.
const BATCH: usize = 100;

/// Ids that a request names.
const ASKED: usize = 1000;

/// Models that have them all, where they are not spread over all models.
const FEW: usize = 10;

const MIB: f64 = 1024.0 * 1024.0;

pub(crate) fn run() -> Result<Vec<Line>, Box<dyn Error>> {
    let mut lines = Vec::new();
    // As many ids of a model as stay in its vertex: JSON, as all lists were before.
    lines.extend(registry("as JSON", 1000, false)?);
    lines.extend(registry("in lists", 10_000, false)?);
    lines.extend(registry("in hashed lists", 10_000, true)?);
    Ok(lines)
}

/// The n-th of a model's samples.
fn sample(model: usize, n: usize) -> String {
    format!(
        "clinic-{:03}/patient-{:07}/scan-{}",
        model / 10,
        model * 5000 + n / 2,
        n % 2
    )
}

/// Fills a registry with a thousand models, and plans requests in it.
fn registry(form: &str, each: usize, hashed: bool) -> Result<Vec<Line>, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let registry = Registry::create(folder.path())?;
    registry.set_hashes_sample_ids(hashed)?;
    let labels = ["cat".to_owned(), "dog".to_owned()];
    let network = Architecture::for_head("fc", 1, labels.len());
    let head = [(
        "fc.weight".to_owned(),
        Tensor::from_f32(&[2, 1], &[1.0, 2.0]),
    )];
    let manifest = manifest(&network, &Preprocessing::default(), &labels)?;
    let digest = registry.put_model(manifest, head.into())?;
    let start = Instant::now();
    for first in (0..MODELS).step_by(BATCH) {
        publish(&registry, first, each, digest)?;
    }
    let filled = start.elapsed().as_secs_f64();
    drop(registry);
    let what = format!("{} ids of {MODELS} models {form}", MODELS * each);
    let bytes = size(folder.path())? as f64;
    let mut lines = vec![
        Line::plain(format!("filling a registry with {what}"), filled, "s"),
        Line::plain(format!("on disk, {what}"), bytes / MIB, "MiB"),
        Line::plain(
            format!("on disk for each id, {what}"),
            bytes / (MODELS * each) as f64,
            "bytes",
        ),
    ];
    for owners in [FEW, MODELS] {
        lines.extend(plan(folder.path(), owners, &what)?);
    }
    Ok(lines)
}

fn publish(
    registry: &Registry,
    first: usize,
    each: usize,
    digest: Digest,
) -> Result<(), Box<dyn Error>> {
    let mut models = Vec::with_capacity(BATCH);
    for number in first..first + BATCH {
        let mut training = Training::new("scans", ["cat"]);
        let ids: BTreeSet<String> = (0..each).map(|n| sample(number, n)).collect();
        training.samples = SampleSet::Listed(ids);
        let id = ModelId::new(format!("model-{number:04}"), 1)?;
        let vertex = Model::new(id, 0)
            .with_labels(["cat", "dog"])
            .trained_on(training);
        models.push(NewModel {
            row: ModelRow::new(vertex, digest),
            parents: Vec::new(),
        });
    }
    registry.publish(&Publication {
        models,
        ..Publication::new(
            0,
            OperationRecord::Unknown {
                command: "set up".into(),
                detail: json!({}),
            },
        )
    })?;
    Ok(())
}

/// A request for a thousand ids, of so many models the same number each, planned in a process of its own, so
/// that its memory can be told.
fn plan(folder: &Path, owners: usize, what: &str) -> Result<Vec<Line>, Box<dyn Error>> {
    let output = Command::new(std::env::current_exe()?)
        .arg(CHILD)
        .arg(folder)
        .arg(owners.to_string())
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let numbers: Vec<f64> = text.split_whitespace().flat_map(str::parse).collect();
    let [seconds, processor, read, held] = numbers[..] else {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    };
    let what = format!("a request for {ASKED} ids of {owners} models, {what}");
    Ok(vec![
        Line::plain(format!("planning {what}"), seconds, "s"),
        Line::plain(format!("processor time for {what}"), processor, "s"),
        Line::plain(format!("objects read for {what}"), read, "MiB"),
        Line::plain(format!("memory at most, {what}"), held, "MiB"),
    ])
}

/// Opens the registry, plans, prints seconds by the clock and of the processor, MiB of objects read, and MiB of
/// memory at most.
pub(crate) fn child() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(2);
    let mut next = |what: &str| arguments.next().ok_or_else(|| format!("no {what}"));
    let folder = next("folder")?;
    let owners: usize = next("number of models")?.parse()?;
    let asked = (0..ASKED).map(|n| sample((n % owners) * (MODELS / owners), n / owners));
    let request = Request::new(Forget::Samples(asked.collect()));
    let start = Instant::now();
    let engine = Engine::new(Registry::open(Path::new(&folder))?);
    let method = Matching::new(MatchingOptions::default());
    let options = RunOptions {
        plan_only: true,
        ..RunOptions::default()
    };
    let prepared = engine.prepare(&request, &method, options)?;
    let seconds = start.elapsed().as_secs_f64();
    let found = prepared.plan().scope.initial.len();
    if found != owners {
        return Err(format!("{found} models were found, not {owners}").into());
    }
    let read = engine.registry().traffic().0 as f64 / MIB;
    let (processor, held) = (processor_time(), memory("VmHWM"));
    println!("{seconds} {processor} {read} {held}");
    Ok(())
}

/// Bytes of all files in a folder.
fn size(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        bytes += match entry.file_type()?.is_dir() {
            true => size(&entry.path())?,
            false => entry.metadata()?.len(),
        };
    }
    Ok(bytes)
}
