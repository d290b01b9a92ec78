//! The paper's procedure on one initial model and eight descendants: for each model one pass over the
//! forget data, one over all its data, then the edit; in PyTorch, and here cold (no cards) and warm.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::Instant;

use disinherit::cards::{FisherOptions, compute_cards};
use disinherit::{Alpha, Engine, Fiun, FiunOptions, LoadedModel, RunOptions};
use disinherit_data::{DataSet, Splits};
use disinherit_formats::{Tensor, write_checkpoint};
use disinherit_nets::{Compute, StateDict};
use disinherit_registry::{LossBound, ModelRow, NewModel, OperationRecord, Publication, Registry};
use serde_json::json;
use umig::{Forget, Model, ModelId, Relation, Request, SampleSet, Training};

use crate::line::Line;
use crate::{family, peer};

/// Training samples of each model; descendants 1 to 4 share the initial model's backbone and data.
const SAMPLES: usize = 2000;
const SHARES: usize = 5;
const MODELS: usize = 9;
/// What a fixed sample size leaves of the cold case.
const FEW: usize = 512;
const WARM_ROUNDS: usize = 5;

pub(crate) fn run() -> Result<Vec<Line>, Box<dyn Error>> {
    let all = family::images("noise", SAMPLES * SHARES, 7)?;
    let states = states()?;
    let folder = tempfile::tempdir()?;
    let torch = torch(folder.path(), &states, &all)?;
    let cold = cold(&states, &all, None)?;
    let few = cold_few(&states, &all)?;
    let warm = warm(&states, &all)?;
    let line =
        |name: &str, seconds: f64| Line::milliseconds(name, seconds, torch, peer::torch(torch));
    Ok(vec![
        line("procedure, 9 models, cold", cold),
        line("procedure, 9 models, cold, 512 samples a model", few),
        line("procedure, 9 models, warm", warm),
    ])
}

/// The initial model, four descendants with its backbone and heads of their own, four with all weights
/// of their own.
fn states() -> Result<Vec<StateDict>, Box<dyn Error>> {
    let initial = family::state(1)?;
    let mut states = vec![initial.clone()];
    for number in 1..MODELS as u64 {
        let other = family::state(number + 1)?;
        if number > 4 {
            states.push(other);
            continue;
        }
        let mut descendant = initial.clone();
        for name in ["fc.weight", "fc.bias"] {
            if let Some(array) = other.get(name) {
                descendant.insert(name.to_owned(), array.clone());
            }
        }
        states.push(descendant);
    }
    Ok(states)
}

/// Which samples a model was trained on.
fn share(model: usize) -> std::ops::Range<usize> {
    let number = model.saturating_sub(4);
    number * SAMPLES..(number + 1) * SAMPLES
}

fn registry(
    states: &[StateDict],
    all: &DataSet,
) -> Result<(tempfile::TempDir, Registry), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let registry = Registry::create(folder.path())?;
    let mut models = Vec::new();
    for (number, state) in states.iter().enumerate() {
        let manifest = registry.put_model(family::manifest()?, family::tensors(state))?;
        let mut training = Training::new("noise", family::labels());
        training.samples = SampleSet::Listed(all.ids()[share(number)].iter().cloned().collect());
        let id = ModelId::new(format!("m{number}"), 1)?;
        let mut vertex = Model::new(id, number as u64).trained_on(training);
        vertex.labels = family::labels();
        let parents = match number {
            0 => Vec::new(),
            _ => vec![(ModelId::new("m0", 1)?, Relation::FineTune)],
        };
        models.push(NewModel {
            row: ModelRow::new(vertex, manifest),
            parents,
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
    Ok((folder, registry))
}

fn options(samples: Option<usize>) -> FiunOptions {
    FiunOptions {
        alpha: Alpha::Value(2.0),
        fisher: FisherOptions {
            samples,
            ..FisherOptions::default()
        },
        ..FiunOptions::default()
    }
}

fn forget(
    registry: Registry,
    data: Option<&Splits>,
    samples: Option<usize>,
) -> Result<f64, Box<dyn Error>> {
    let start = Instant::now();
    let request = Request::new(Forget::classes(["c3"])).from_models([ModelId::new("m0", 1)?]);
    let method = Fiun::new(options(samples));
    let engine = Engine::new(registry)
        .with_data(data)
        .with_compute(Compute::Cpu)
        .with_feature_cache(0);
    // The networks are not trained: what an edit costs in accuracy says nothing here.
    let run = RunOptions {
        loss: LossBound::UNLIMITED,
        ..RunOptions::default()
    };
    let prepared = engine.prepare(&request, &method, run)?;
    if prepared.run()?.unlearned.models.len() != MODELS {
        return Err("not all models were edited".into());
    }
    Ok(start.elapsed().as_secs_f64())
}

fn splits(all: &DataSet) -> Splits {
    Splits {
        train: all.clone(),
        heldout: all.select(&[]),
    }
}

fn cold(
    states: &[StateDict],
    all: &DataSet,
    samples: Option<usize>,
) -> Result<f64, Box<dyn Error>> {
    let (_folder, registry) = registry(states, all)?;
    forget(registry, Some(&splits(all)), samples)
}

fn cold_few(states: &[StateDict], all: &DataSet) -> Result<f64, Box<dyn Error>> {
    cold(states, all, Some(FEW))
}

fn warm(states: &[StateDict], all: &DataSet) -> Result<f64, Box<dyn Error>> {
    let (folder, registry) = registry(states, all)?;
    let graph = registry.graph()?;
    let models: Vec<LoadedModel> = graph
        .models()
        .map(|model| LoadedModel::open(&registry, &graph, &model.id))
        .collect::<Result<_, _>>()?;
    let data = splits(all);
    let engine = Engine::new(registry)
        .with_data(&data)
        .with_compute(Compute::Cpu)
        .with_feature_cache(0);
    compute_cards(&engine, &models, &options(None).fisher, false)?;
    drop(engine);
    // So short that the disk's mood shows: the shortest of several, each on a copy of its own.
    let mut best = f64::INFINITY;
    for _ in 0..WARM_ROUNDS {
        let copy = tempfile::tempdir()?;
        copy_folder(folder.path(), copy.path())?;
        let registry = Registry::open(copy.path())?;
        best = best.min(forget(registry, None, None)?);
    }
    Ok(best)
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else if entry
            .path()
            .components()
            .any(|c| c.as_os_str() == "objects")
        {
            // Objects never change; copies would still be on their way to the disk when it counts.
            std::fs::hard_link(entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

/// Seconds of the same in PyTorch, from the same weights and data.
fn torch(
    folder: &Path,
    states: &[StateDict],
    all: &DataSet,
) -> Result<Option<f64>, Box<dyn Error>> {
    for (number, state) in states.iter().enumerate() {
        let path = folder.join(format!("m{number}.safetensors"));
        write_checkpoint(&path, &family::tensors(state), Default::default())?;
    }
    let pixels: Vec<u8> = (0..all.len())
        .filter_map(|n| all.image(n))
        .flat_map(|(_, pixels)| pixels)
        .copied()
        .collect();
    let labels: Vec<u8> = all.labels().iter().map(|label| *label as u8).collect();
    let tensor = |shape: Vec<usize>, bytes| Tensor {
        dtype: disinherit_formats::Dtype::U8,
        shape,
        bytes,
    };
    let data = BTreeMap::from([
        (
            "images".to_owned(),
            tensor(vec![all.len(), 3, 32, 32], pixels),
        ),
        ("labels".to_owned(), tensor(vec![all.len()], labels)),
    ]);
    write_checkpoint(&folder.join("data.safetensors"), &data, Default::default())?;
    let arguments = [folder.display().to_string(), SAMPLES.to_string()];
    Ok(peer::number("procedure.py", &arguments))
}
