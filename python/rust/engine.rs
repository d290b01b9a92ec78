//! The calls into the engine, gathered: registry and arguments in, the engine's own values out.

use std::path::{Path, PathBuf};

use disinherit::import::{ImportOptions, ImportPlan};
use disinherit::{
    CertifiedVerdict, Depth, EngineError, Evaluator, FEATURE_CACHE, Features, LoadedModel, Needs,
    UnlearnOptions, Unlearned,
};
use disinherit_data::Splits;
use disinherit_formats::TensorSource;
use disinherit_nets::{Architecture, Compute};
use disinherit_registry::{Location, Registry, RegistryError};
use pyo3::prelude::*;
use umig::{Forget, ModelId, Plan, Request};

use crate::arguments::{Asked, NewModel};
use crate::data_sets::Data;
use crate::errors::{not_imported, raised, refused};
use crate::progress::Shown;
use crate::results::Imported;
use crate::tensors::Arrays;

/// Opens the registry at a place.
pub(crate) fn open(place: &str, actor: String) -> Result<Registry, RegistryError> {
    Ok(Registry::open_at(&Location::parse(place)?)?.used_by(actor))
}

/// Makes a registry at a place, and the folder where there is none.
pub(crate) fn create(
    place: &str,
    catalog: Option<&str>,
    actor: String,
) -> Result<Registry, RegistryError> {
    let place = Location::parse(place)?;
    if let Location::Folder(folder) = &place {
        std::fs::create_dir_all(folder).map_err(RegistryError::io("make", folder))?;
    }
    Ok(Registry::create_with(&place, catalog)?.used_by(actor))
}

/// The versions that names mean.
pub(crate) fn ids(registry: &Registry, names: &[String]) -> Result<Vec<ModelId>, EngineError> {
    let graph = registry.graph()?;
    let found = names
        .iter()
        .map(|name| disinherit::resolve(&graph, name).map(|model| model.id.clone()));
    found.collect()
}

/// One version.
pub(crate) fn loaded(registry: &Registry, name: &str) -> Result<LoadedModel, EngineError> {
    let graph = registry.graph()?;
    let id = disinherit::resolve(&graph, name)?.id.clone();
    LoadedModel::open(registry, &graph, &id)
}

/// A request.
pub(crate) fn request(registry: &Registry, asked: &Asked) -> Result<Request, EngineError> {
    let forget = asked.forget()?;
    Ok(Request::new(forget).from_models(ids(registry, &asked.initial)?))
}

/// Runs networks: those of the data, where it has some.
fn features<'a>(registry: &'a Registry, data: Option<&'a Data>) -> Features<'a> {
    Features::new(registry, Compute::default(), FEATURE_CACHE).run_by(data.and_then(Data::runner))
}

/// Adds a model from a file or a folder.
pub(crate) fn add_file(registry: &Registry, path: PathBuf, new: NewModel) -> PyResult<ModelId> {
    let (network, parents) = (new.network()?, new.parents()?);
    let bundle = disinherit_formats::open(&path).map_err(raised)?;
    let (architecture, labels) = disinherit::describe(&path, &bundle, &network).map_err(raised)?;
    let new = new.model(path, architecture, labels, parents);
    disinherit::add_bundle(registry, &new, &bundle).map_err(raised)
}

/// Adds a model from arrays.
pub(crate) fn add_tensors(
    registry: &Registry,
    tensors: &Arrays,
    new: NewModel,
) -> PyResult<ModelId> {
    let parents = new.parents()?;
    let count = new.labels.as_ref().map(Vec::len);
    let head = disinherit_formats::find_head(&tensors.tensors(), new.head.as_deref(), count)
        .map_err(|reason| {
            raised(EngineError::Refused(format!(
                "`{}` cannot be added: {reason}",
                new.name
            )))
        })?;
    let labels = new
        .labels
        .clone()
        .unwrap_or_else(|| (0..head.outputs).map(|row| row.to_string()).collect());
    let architecture = Architecture::of_head(head.name, head.inputs, head.outputs);
    let new = new.model(PathBuf::new(), architecture, labels, parents);
    disinherit::add_tensors(registry, &new, tensors).map_err(raised)
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
    registry: &Registry,
    models: &[String],
    data: &Data,
    options: &UnlearnOptions,
    again: bool,
    progress: &Shown,
) -> Result<usize, EngineError> {
    let graph = registry.graph()?;
    let loaded = ids(registry, models)?
        .iter()
        .map(|id| LoadedModel::open(registry, &graph, id))
        .collect::<Result<Vec<_>, _>>()?;
    let made = disinherit::compute_cards(
        registry,
        &loaded,
        &data.splits.train,
        &options.fisher,
        &features(registry, Some(data)),
        again,
        progress,
    )?;
    Ok(made.len())
}

/// Which models a request touches, and what the work reads.
pub(crate) fn plan(
    registry: &Registry,
    asked: &Asked,
    options: &UnlearnOptions,
) -> Result<(Plan, Needs), EngineError> {
    let plan = registry.graph()?.plan(&request(registry, asked)?)?;
    let needs = disinherit::needs(registry, &plan, options)?;
    Ok((plan, needs))
}

/// Forgets.
pub(crate) fn unlearn(
    registry: &Registry,
    asked: &Asked,
    data: Option<&Data>,
    options: &UnlearnOptions,
    progress: &Shown,
) -> Result<Unlearned, EngineError> {
    let request = request(registry, asked)?;
    let splits: Option<&Splits> = data.map(|data| &data.splits);
    let features = features(registry, data).not_writing(&request.forget);
    let prepared = disinherit::prepare(registry, &request, splits, options, &features, progress)?;
    disinherit::unlearn(registry, &prepared, options, progress)
}

/// Whether models have forgotten: those of the last request, and what it asked for, where nothing is named.
pub(crate) fn verify(
    registry: &Registry,
    data: &Data,
    models: &[String],
    asked: Option<&Asked>,
    at_most: f64,
    progress: &Shown,
) -> Result<Vec<CertifiedVerdict>, EngineError> {
    let last = || disinherit::last_request(registry, None);
    let forget: Forget = match asked {
        Some(asked) => asked.forget()?,
        None => last()?.0.forget,
    };
    let ids = if models.is_empty() {
        last()?.1.into_iter().map(|model| model.after).collect()
    } else {
        ids(registry, models)?
    };
    let features = features(registry, Some(data)).not_writing(&forget);
    let evaluator = Evaluator::new(&data.splits, &features);
    disinherit::judge(registry, &evaluator, &ids, &forget, at_most, progress)
}

/// The page of the last request.
pub(crate) fn report(
    registry: &Registry,
    data: Option<&Data>,
    progress: &Shown,
) -> Result<String, EngineError> {
    let depth = Depth {
        attacks: true,
        relearning: false,
    };
    let study = disinherit::revisit(
        registry,
        None,
        data.map(|data| &data.splits),
        depth,
        Compute::default(),
        data.and_then(Data::runner),
        progress,
    )?;
    disinherit_report::page(std::slice::from_ref(&study))
        .map_err(|error| EngineError::Refused(error.to_string()))
}

/// Writes a model in the format that it came in.
pub(crate) fn export(registry: &Registry, model: &str, path: &Path) -> Result<(), EngineError> {
    let model = loaded(registry, model)?;
    disinherit::export(registry, &model, path, false).map(drop)
}

/// Reads a data set.
pub(crate) fn open_data(
    source: &str,
    size: Option<(usize, usize)>,
    tokenizer: Option<PathBuf>,
) -> PyResult<Splits> {
    let options = disinherit_data::OpenOptions {
        size,
        tokenizer,
        ..disinherit_data::OpenOptions::default()
    };
    disinherit_data::open(source, &options).map_err(raised)
}

/// Writes a page.
pub(crate) fn write_page(path: &Path, page: &str) -> PyResult<()> {
    disinherit_formats::write_file(path, page.as_bytes()).map_err(refused)
}
