//! Many models: a graph of ten million, a catalog of a hundred thousand, a large checkpoint.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use disinherit_formats::{Checkpoint, Tensor};
use disinherit_registry::{
    Digest, Manifest, ModelRow, NewModel, OperationRecord, Page, Publication, Registry,
};
use umig::{Forget, Model, ModelId, Relation, Request, Training, Umig};

use crate::line::{Line, memory, shortest};

const ROUNDS: usize = 3;

/// The models of the largest family; the n-th largest has an n-th of them, as on public hubs: few
/// huge families, most of a model or two.
const LARGEST: usize = 600_000;

/// Two descendants of three have a second parent, which makes 12 edges for 10 models.
const MERGES: usize = 3;

/// Rows published in one operation.
const BATCH: usize = 10_000;

pub(crate) fn run() -> Result<Vec<Line>, Box<dyn Error>> {
    // The first, since it is the most memory that this process ever held that is told.
    let mut lines = large_checkpoint()?;
    for models in [100_000, 1_000_000, 10_000_000] {
        lines.extend(graph(models)?);
    }
    for models in [10_000, 100_000] {
        lines.extend(catalog(models)?);
    }
    lines.extend(shared_backbone()?);
    Ok(lines)
}

fn family(number: usize) -> String {
    format!("family-{number}/base")
}

/// Families of falling size, each grown from its base.
fn synthetic(models: usize) -> Result<(Umig, usize), Box<dyn Error>> {
    let largest = LARGEST.min(models / 16);
    let mut graph = Umig::new();
    let (mut count, mut edges, mut number) = (0, 0, 1);
    while count < models {
        let size = (largest / number).max(1).min(models - count);
        let id = |n: usize| match n {
            0 => ModelId::new(family(number), 1),
            _ => ModelId::new(format!("family-{number}/tune-{n}"), 1),
        };
        let training = Training::new("data", [format!("class-{number}")]);
        graph.add(Model::new(id(0)?, 0).trained_on(training), [])?;
        for n in 1..size {
            let parent = (n * 7919 / 13) % n;
            let mut parents = vec![(id(parent)?, Relation::FineTune)];
            if n % MERGES != 0 && parent > 0 {
                parents.push((id(parent / 2)?, Relation::Merged { weight: None }));
            }
            edges += parents.len();
            graph.add(Model::new(id(n)?, n as u64), parents)?;
        }
        count += size;
        number += 1;
    }
    Ok((graph, edges))
}

fn graph(models: usize) -> Result<Vec<Line>, Box<dyn Error>> {
    let before = memory("VmRSS");
    let start = Instant::now();
    let (graph, edges) = synthetic(models)?;
    let seconds = start.elapsed().as_secs_f64();
    let held = memory("VmRSS") - before;
    let base = ModelId::new(family(1), 1)?;
    let request = Request::new(Forget::classes(["class-1"]));
    let found = graph.descendants(&base)?.len();
    let descendants = shortest(ROUNDS, || {
        std::hint::black_box(graph.descendants(&base).is_ok());
    });
    let plan = shortest(ROUNDS, || {
        std::hint::black_box(graph.plan(&request).is_ok());
    });
    let what = format!("{models} models, {edges} edges");
    Ok(vec![
        Line::plain(format!("building a graph, {what}"), seconds, "s"),
        Line::plain(format!("memory of a graph, {what}"), held, "MiB"),
        Line::milliseconds(
            &format!("the {found} descendants of the largest base, {what}"),
            descendants,
            None,
            "-",
        ),
        Line::milliseconds(&format!("a plan for its class, {what}"), plan, None, "-"),
    ])
}

fn manifest() -> Manifest {
    Manifest {
        head: "fc".into(),
        ..Manifest::default()
    }
}

/// An operation that makes models.
pub(crate) fn publication(models: Vec<NewModel>) -> Publication {
    Publication {
        models,
        ..Publication::new(
            0,
            OperationRecord::Unknown {
                command: "set up".into(),
                detail: serde_json::json!({}),
            },
        )
    }
}

/// Fills a catalog with models of one and the same tensor, and returns its digest.
pub(crate) fn fill(registry: &Registry, models: usize) -> Result<Digest, Box<dyn Error>> {
    let tensors = [("fc.weight".to_owned(), Tensor::from_f32(&[1], &[1.0]))];
    let digest = registry.put_model(manifest(), tensors.into())?;
    for first in (0..models).step_by(BATCH) {
        let batch: Vec<NewModel> = (first..models.min(first + BATCH))
            .map(|n| row(n, digest))
            .collect::<Result<_, _>>()?;
        registry.publish(&publication(batch))?;
    }
    Ok(digest)
}

/// How long filling a catalog takes, listing its pages, adding one more model, and reading its graph.
fn catalog(models: usize) -> Result<Vec<Line>, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let registry = Registry::create(folder.path())?;
    let start = Instant::now();
    let digest = fill(&registry, models)?;
    let filled = start.elapsed().as_secs_f64();
    let pages = page_times(&registry, models);
    let one = row(models, digest)?;
    let start = Instant::now();
    registry.publish(&publication(vec![one]))?;
    let added = start.elapsed().as_secs_f64();
    let start = Instant::now();
    registry.graph()?;
    let opened = start.elapsed().as_secs_f64();
    let what = format!("a catalog of {models} models");
    Ok(vec![
        Line::plain(format!("filling {what}"), filled, "s"),
        Line::milliseconds(
            &format!("the first page of 100, {what}"),
            pages[0],
            None,
            "-",
        ),
        Line::milliseconds(
            &format!("the last page of 100, {what}"),
            pages[1],
            None,
            "-",
        ),
        Line::milliseconds(&format!("a page by prefix, {what}"), pages[2], None, "-"),
        Line::milliseconds(&format!("adding one model, {what}"), added, None, "-"),
        Line::plain(format!("its whole graph, {what}"), opened, "s"),
    ])
}

/// The n-th model of a catalog; all but the first are fine-tuned from the first.
fn row(n: usize, digest: Digest) -> Result<NewModel, Box<dyn Error>> {
    let vertex = Model::new(ModelId::new(format!("model-{n:06}"), 1)?, n as u64);
    let parents = match n {
        0 => Vec::new(),
        _ => vec![(ModelId::new("model-000000", 1)?, Relation::FineTune)],
    };
    Ok(NewModel {
        row: ModelRow::new(vertex, digest),
        parents,
    })
}

/// Seconds of the first page, of the last, and of one by prefix.
fn page_times(registry: &Registry, models: usize) -> [f64; 3] {
    let page = |after: usize, prefix: &str| Page {
        after: ModelId::new(format!("model-{after:06}"), 1).ok(),
        limit: 100,
        prefix: prefix.into(),
        state: None,
    };
    let (first, last) = (page(0, ""), page(models - 200, ""));
    let filtered = page(0, "model-0000");
    let time = |page: &Page| {
        shortest(ROUNDS, || {
            std::hint::black_box(registry.page(page).is_ok_and(|rows| rows.len() > 50));
        })
    };
    [time(&first), time(&last), time(&filtered)]
}

/// A model that shares its backbone with another writes only what is new.
fn shared_backbone() -> Result<Vec<Line>, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let registry = Registry::create(folder.path())?;
    let backbone: Vec<f32> = (0..11_000_000).map(|n| n as f32).collect();
    let model = |head: f32| {
        BTreeMap::from([
            (
                "backbone".to_owned(),
                Tensor::from_f32(&[backbone.len()], &backbone),
            ),
            (
                "fc.weight".to_owned(),
                Tensor::from_f32(&[1000], &[head; 1000]),
            ),
        ])
    };
    let mut written = Vec::new();
    for head in [1.0, 2.0] {
        let before = registry.traffic().1;
        let start = Instant::now();
        registry.put_model(manifest(), model(head))?;
        let bytes = (registry.traffic().1 - before) as f64 / 1024.0;
        written.push((bytes, start.elapsed().as_secs_f64()));
    }
    Ok(vec![
        Line::plain("a model of 44 MB, written".into(), written[0].0, "KiB"),
        Line::plain(
            "an inherited model with the same backbone, written".into(),
            written[1].0,
            "KiB",
        ),
        Line::milliseconds(
            "storing the inherited model",
            written[1].1,
            Some(written[0].1),
            "the first",
        ),
    ])
}

/// A checkpoint of 10 GB of 256 MB tensors, stored one tensor after the other.
fn large_checkpoint() -> Result<Vec<Line>, Box<dyn Error>> {
    const TENSORS: usize = 40;
    const VALUES: usize = 64 << 20;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("large.safetensors");
    write_large(&file, TENSORS, VALUES)?;
    let registry = Registry::create(folder.path())?;
    let start = Instant::now();
    registry.put_checkpoint(manifest(), &Checkpoint::open(&file)?)?;
    let seconds = start.elapsed().as_secs_f64();
    Ok(vec![
        Line::plain("storing a checkpoint of 10.7 GB".into(), seconds, "s"),
        Line::plain(
            "memory at most, while storing it".into(),
            memory("VmHWM"),
            "MiB",
        ),
    ])
}

fn write_large(path: &Path, tensors: usize, values: usize) -> Result<(), Box<dyn Error>> {
    let bytes = values * 4;
    let entries: BTreeMap<String, serde_json::Value> = (0..tensors)
        .map(|n| {
            let entry = serde_json::json!({
                "dtype": "F32",
                "shape": [values],
                "data_offsets": [n * bytes, (n + 1) * bytes],
            });
            (format!("layer{n:02}"), entry)
        })
        .collect();
    let header = serde_json::to_vec(&entries)?;
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(&(header.len() as u64).to_le_bytes())?;
    file.write_all(&header)?;
    for n in 0..tensors {
        for block in 0..(bytes / 8192) {
            file.write_all(&[(n * 31 + block) as u8; 8192])?;
        }
    }
    file.flush()?;
    Ok(())
}
