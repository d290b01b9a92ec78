//! The calls into the engine, gathered: registry and arguments in, the engine's own values out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use disinherit::certificate::{self, Envelope, PublicKey, SecretKey};
use disinherit::evaluation::{CertifiedVerdict, Depth, Evaluator};
use disinherit::formats::{self, TensorSource};
use disinherit::import::{AddModel, ImportOptions, ImportPlan};
use disinherit::model::now;
use disinherit::nets::Architecture;
use disinherit::progress::Progress;
use disinherit::registry::{Location, OperationRecord, Registry, RegistryError};
use disinherit::umig::{Forget, ModelId, Part, Plan, Request, Shard};
use disinherit::{Engine, EngineError, LoadedModel, RunOptions, ShardDone, Unlearned};
use disinherit_lab::{LabError, request_report};
use disinherit_report::{Inventory, ReportError, lineage_events};
use pyo3::prelude::*;
use serde_json::Value;

use crate::arguments::{Asked, NewModel, Way};
use crate::data_sets::Data;
use crate::errors::{not_imported, raised, refused};
use crate::onnx_runtime::onnx_runtime;
use crate::progress::Shown;
use crate::results::Imported;
use crate::tensors::Arrays;

/// A place with the settings of its storage, which Python hands on from its environment.
fn location(place: &str) -> Result<Location, RegistryError> {
    Ok(Location::parse(place)?.with_settings(std::env::vars()))
}

/// Opens the registry at a place.
pub(crate) fn open(place: &str, actor: String) -> Result<Registry, RegistryError> {
    Ok(Registry::open_at(&location(place)?)?.used_by(actor))
}

/// Makes a registry at a place, and the folder where there is none.
pub(crate) fn create(
    place: &str,
    catalog: Option<&str>,
    hash_ids: bool,
    actor: String,
) -> Result<Registry, RegistryError> {
    let place = location(place)?;
    if let Location::Folder(folder) = &place {
        std::fs::create_dir_all(folder).map_err(RegistryError::io("make", folder))?;
    }
    let registry = Registry::create_with(&place, catalog)?;
    if hash_ids {
        registry.set_hashes_sample_ids(true)?;
    }
    Ok(registry.used_by(actor))
}

/// The versions that names mean.
pub(crate) fn ids(registry: &Registry, names: &[String]) -> Result<Vec<ModelId>, EngineError> {
    let graph = registry.graph()?;
    let found = names
        .iter()
        .map(|name| disinherit::model::find(&graph, name).map(|model| model.id.clone()));
    found.collect()
}

/// One version.
pub(crate) fn loaded(registry: &Registry, name: &str) -> Result<LoadedModel, EngineError> {
    let graph = registry.graph()?;
    let id = disinherit::model::find(&graph, name)?.id.clone();
    LoadedModel::open(registry, &graph, &id)
}

/// A request.
pub(crate) fn request(registry: &Registry, asked: &Asked) -> Result<Request, EngineError> {
    let forget = asked.forget()?;
    Ok(Request::new(forget).from_models(ids(registry, &asked.initial)?))
}

/// The engine over a registry, with data and what runs its networks, where it has some.
pub(crate) fn engine<'a>(
    registry: &Arc<Registry>,
    data: Option<&'a Data>,
    progress: &'a dyn Progress,
) -> Engine<'a> {
    Engine::new(Arc::clone(registry))
        .with_data(data.map(|data| &data.splits))
        .with_runner(data.and_then(Data::runner))
        .with_onnx_runtime(onnx_runtime())
        .with_progress(progress)
}

/// Adds a model from a file or a folder.
pub(crate) fn add_file(registry: &Registry, path: PathBuf, new: NewModel) -> PyResult<ModelId> {
    let (network, parents) = (new.network()?, new.parents()?);
    let bundle = formats::open(&path).map_err(raised)?;
    let (architecture, labels) =
        disinherit::import::describe(&path, &bundle, &network).map_err(raised)?;
    let new = new.model(path, architecture, labels, parents);
    disinherit::import::add_model_file(registry, &new, &bundle).map_err(raised)
}

/// Adds a model from arrays.
pub(crate) fn add_tensors(
    registry: &Registry,
    tensors: &Arrays,
    new: NewModel,
) -> PyResult<ModelId> {
    let new = described(tensors, new)?;
    disinherit::import::add_tensors(registry, &new, tensors).map_err(raised)
}

/// Adds several models from arrays, in one operation.
pub(crate) fn add_all_tensors(
    registry: &Registry,
    models: Vec<(Arrays, NewModel)>,
) -> PyResult<Vec<ModelId>> {
    let (tensors, new): (Vec<Arrays>, Vec<NewModel>) = models.into_iter().unzip();
    let sources = tensors.iter().zip(new);
    let described = sources.map(|(tensors, new)| {
        let source: &dyn TensorSource = tensors;
        Ok((described(tensors, new)?, source))
    });
    let described: Vec<_> = described.collect::<PyResult<_>>()?;
    disinherit::import::add_all_tensors(registry, &described).map_err(raised)
}

/// What is added, of a model whose weights are in arrays.
fn described(tensors: &Arrays, new: NewModel) -> PyResult<AddModel> {
    let (network, parents) = (new.network()?, new.parents()?);
    if let Some(labels) = new.labels.clone()
        && let Some(architecture) = network.known(labels.len())
    {
        return Ok(new.model(PathBuf::new(), architecture, labels, parents));
    }
    let count = new.labels.as_ref().map(Vec::len);
    let head =
        formats::find_head(&tensors.tensors(), new.head.as_deref(), count).map_err(|reason| {
            raised(EngineError::CannotAdd {
                reason: format!("`{}` cannot be added: {reason}", new.name),
                hint: Some(disinherit::Hint::GiveHead),
            })
        })?;
    let labels = new
        .labels
        .clone()
        .unwrap_or_else(|| (0..head.outputs).map(|row| row.to_string()).collect());
    let architecture = Architecture::for_head(head.name, head.inputs, head.outputs);
    Ok(new.model(PathBuf::new(), architecture, labels, parents))
}

/// Adds the models at and below some paths, in one operation.
pub(crate) fn import_tree(
    registry: &Registry,
    paths: &[PathBuf],
    options: &ImportOptions,
    dry_run: bool,
    progress: &Shown,
) -> PyResult<Imported> {
    let plan = ImportPlan::new(registry, paths, options, progress).map_err(not_imported)?;
    let added = match dry_run {
        true => Vec::new(),
        false => plan.run(registry, progress).map_err(raised)?,
    };
    Ok(Imported { plan, added })
}

/// Computes and keeps FIM cards; says how many were made.
pub(crate) fn fisher(
    registry: &Arc<Registry>,
    models: &[String],
    data: &Data,
    way: &Way,
    again: bool,
    progress: &Shown,
) -> Result<usize, EngineError> {
    let graph = registry.graph()?;
    let mut loaded = ids(registry, models)?
        .iter()
        .map(|id| LoadedModel::open(registry, &graph, id))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(shard) = way.shard {
        loaded = shard.share(loaded, LoadedModel::cost_of_passes);
    }
    let engine = engine(registry, Some(data), progress);
    let made = disinherit::cards::compute_cards(&engine, &loaded, &way.fiun.fisher, again)?;
    Ok(made.len())
}

/// Which models a request touches, the tasks that it means, and how they fall to so many processes.
pub(crate) fn plan(
    registry: &Arc<Registry>,
    asked: &Asked,
    data: Option<&Data>,
    way: &Way,
    shards: u32,
) -> Result<(Plan, Vec<Part>), EngineError> {
    let forget = asked.forget()?;
    let shown = Shown(None);
    let engine = engine(registry, data, &shown);
    let method = way.method(&forget, true);
    let options = RunOptions {
        plan_only: true,
        ..way.run
    };
    let prepared = engine.prepare_named(forget, &asked.initial, method.as_ref(), options)?;
    Ok((prepared.plan().clone(), prepared.parts(shards)))
}

/// Does one shard of a request.
pub(crate) fn unlearn_shard(
    registry: &Arc<Registry>,
    asked: &Asked,
    data: Option<&Data>,
    way: &Way,
    progress: &Shown,
) -> Result<ShardDone, EngineError> {
    let shard = way
        .shard
        .ok_or_else(|| EngineError::Setting("say which shard: `shard=\"3/40\"`".into()))?;
    let forget = asked.forget()?;
    let engine = engine(registry, data, progress);
    let method = way.method(&forget, data.is_some());
    let prepared = engine.prepare_named(forget, &asked.initial, method.as_ref(), way.run)?;
    prepared.run_shard(shard)
}

/// Forgets.
pub(crate) fn unlearn(
    registry: &Arc<Registry>,
    asked: &Asked,
    data: Option<&Data>,
    way: &Way,
    progress: &Shown,
) -> Result<Unlearned, EngineError> {
    let forget = asked.forget()?;
    let engine = engine(registry, data, progress);
    let method = way.method(&forget, data.is_some());
    let prepared = engine.prepare_named(forget, &asked.initial, method.as_ref(), way.run)?;
    Ok(prepared.run()?.unlearned)
}

/// What is to be verified.
pub(crate) struct Verification {
    /// The models; those of the last request when none is named.
    pub(crate) models: Vec<String>,
    /// What they should have forgotten; that of the last request when not given.
    pub(crate) request: Option<Asked>,
    /// How they are judged.
    pub(crate) judging: Judging,
    /// The part of the models that is judged.
    pub(crate) shard: Option<Shard>,
}

/// Whether models have forgotten: those of the last request, and what it asked for, where nothing is named.
pub(crate) fn verify(
    registry: &Arc<Registry>,
    data: &Data,
    asked: &Verification,
    progress: &Shown,
) -> Result<Vec<CertifiedVerdict>, EngineError> {
    let last = || disinherit::past_request(registry, None);
    let forget: Forget = match &asked.request {
        Some(asked) => asked.forget()?,
        None => last()?.request.forget,
    };
    let mut ids = if asked.models.is_empty() {
        let models = last()?.models.into_iter();
        models.map(|model| model.after).collect()
    } else {
        ids(registry, &asked.models)?
    };
    if let Some(shard) = asked.shard {
        ids = shard.share(ids, |_| 1);
    }
    let engine = engine(registry, Some(data), progress);
    let judging = &asked.judging;
    Evaluator::new(&engine, &forget, judging.depth())?.judge(&ids, judging.at_most)
}

/// How models are judged.
pub(crate) struct Judging {
    /// The largest accuracy on forgotten held-out data that passes.
    pub(crate) at_most: f64,
    /// Whether to look inside the models.
    pub(crate) deep: bool,
}

impl Judging {
    fn depth(&self) -> Depth {
        if self.deep {
            Depth::FULL
        } else {
            Depth::OUTPUTS
        }
    }
}

/// A certificate of a request, the last one where none is named, with verdicts where there is data.
pub(crate) fn certify(
    registry: &Arc<Registry>,
    key: &SecretKey,
    request: Option<&str>,
    data: Option<&Data>,
    judging: &Judging,
    progress: &Shown,
) -> Result<Envelope, EngineError> {
    let past = disinherit::past_request(registry, request)?;
    let verdicts = match data {
        None => Vec::new(),
        Some(data) => {
            let ids: Vec<ModelId> = past
                .models
                .iter()
                .map(|model| model.after.clone())
                .collect();
            let engine = engine(registry, Some(data), progress);
            Evaluator::new(&engine, &past.request.forget, judging.depth())?
                .judge(&ids, judging.at_most)?
        }
    };
    certificate::certify(registry, request, verdicts, key, now())
}

/// The bill of materials of a version, or else of a request, with what a certificate says: the name of its file, its
/// bytes, and the public key.
pub(crate) fn bill(
    registry: &Registry,
    model: Option<&str>,
    request: Option<&str>,
    certificate: Option<&(String, Vec<u8>, Vec<u8>)>,
) -> Result<Value, EngineError> {
    let read = certificate.map(|(name, bytes, key)| {
        let key = PublicKey::from_pem(&String::from_utf8_lossy(key))?;
        let statement = Envelope::read(bytes)?.open(&key)?;
        Ok::<_, EngineError>((statement, name, bytes))
    });
    let read = read.transpose()?;
    let mut inventory = Inventory::new(registry).map_err(of_report)?;
    if let Some((statement, name, bytes)) = &read {
        inventory = inventory.with_certificate(&statement.predicate, name, bytes);
    }
    let bill = match model {
        Some(model) => {
            let graph = registry.graph()?;
            inventory.of_model(&disinherit::model::find(&graph, model)?.id, now())
        }
        None => {
            let past = disinherit::past_request(registry, request)?;
            inventory.of_request(past.id.as_ref(), now())
        }
    };
    bill.map_err(of_report)
}

/// Operations as OpenLineage events; that of a request where one is named.
pub(crate) fn lineage(
    registry: &Registry,
    namespace: &str,
    request: Option<&str>,
) -> Result<Value, EngineError> {
    let mut log = registry.operations()?;
    if request.is_some() {
        let past = disinherit::past_request(registry, request)?;
        log.retain(|row| {
            matches!(row.record(), Ok(OperationRecord::Unlearn(record)) if record.id == past.id)
        });
    }
    Ok(lineage_events(&log, &registry.graph()?, namespace).into())
}

fn of_report(error: ReportError) -> EngineError {
    match error {
        ReportError::Engine(error) => error,
        other => EngineError::Document(other.to_string()),
    }
}

/// The page of the last request.
pub(crate) fn report(
    registry: &Arc<Registry>,
    data: Option<&Data>,
    progress: &Shown,
) -> Result<String, EngineError> {
    let engine = engine(registry, data, progress);
    let study = request_report(&engine, None, Depth::QUICK).map_err(|error| match error {
        LabError::Engine(error) => error,
        other => EngineError::Document(other.to_string()),
    })?;
    disinherit_report::page(std::slice::from_ref(&study)).map_err(of_report)
}

/// Writes a model in the format that it came in, and with a key a signature over what is written; returns
/// the signature's place.
pub(crate) fn export(
    registry: &Registry,
    model: &str,
    path: &Path,
    key: Option<&SecretKey>,
) -> Result<Option<PathBuf>, EngineError> {
    let model = loaded(registry, model)?;
    disinherit::import::export(registry, &model, path, false)?;
    key.map(|key| certificate::sign_model(path, key))
        .transpose()
}

/// Writes a page.
pub(crate) fn write_page(path: &Path, page: &str) -> PyResult<()> {
    formats::write_file(path, page.as_bytes()).map_err(refused)
}
