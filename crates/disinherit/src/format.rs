//! The format that a model came in: kept beside its tensors, to give it back and, for ONNX, to run it.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use disinherit_data::DataSet;
use disinherit_formats::preamble;
use disinherit_formats::{
    FileFormat, ModelFile, ModelFormat, OnnxFormat, Parts, Tensor, WeightFile, graph_steps,
    layer_below, onnx_files, up_to_head,
};
use disinherit_nets::{GraphCut, GraphNetwork, KnownGraph, NetError, OnnxRuntime, RuntimeGraph};
use disinherit_registry::{Manifest, Registry, RegistryError};
use fiun::Matrix;

use crate::error::EngineError;
use crate::model::LoadedModel;

/// Keeps what else the file held, and how to write it again.
pub(crate) fn keep(
    registry: &Registry,
    manifest: &mut Manifest,
    bundle: &ModelFile,
) -> Result<(), EngineError> {
    for (name, bytes) in &bundle.documents {
        let digest = registry.put_document(bytes.clone())?;
        manifest.documents.insert(name.clone(), digest);
    }
    let format = serde_json::to_value(&bundle.format)
        .map_err(|error| EngineError::Document(format!("the format cannot be kept: {error}")))?;
    manifest.format = Some(format);
    Ok(())
}

/// The format that a model came in; nothing for one that was made here.
///
/// # Errors
/// [`EngineError::Document`] when it is none that is known.
pub fn format_of(model: &LoadedModel) -> Result<Option<ModelFormat>, EngineError> {
    let read = |value| {
        serde_json::from_value(value).map_err(|error| {
            EngineError::Document(format!(
                "the format of `{}` is unknown: {error}",
                model.id()
            ))
        })
    };
    model.manifest.format.clone().map(read).transpose()
}

/// Gives `use_them` the parts that a model is written from.
fn with_parts<T>(
    registry: &Registry,
    model: &LoadedModel,
    use_them: impl FnOnce(&Parts<'_>) -> Result<T, disinherit_formats::FormatError>,
) -> Result<T, EngineError> {
    let manifest = &model.manifest;
    let documents = manifest
        .documents
        .iter()
        .map(|(name, digest)| Ok((name.clone(), registry.document(*digest)?)))
        .collect::<Result<BTreeMap<_, _>, EngineError>>()?;
    let missing = |name: &str| RegistryError::Document {
        what: format!("manifest of `{}`", model.id()),
        reason: format!("it has no tensor `{name}`"),
    };
    let parts = Parts {
        documents,
        describe: &|name| {
            let tensor = manifest.tensors.get(name)?;
            Some((tensor.dtype, tensor.shape.to_vec()))
        },
        tensor: &|name| {
            let tensor = manifest.tensors.get(name).ok_or_else(|| missing(name));
            Ok(tensor.and_then(|tensor| registry.tensor(tensor))?)
        },
        copy: Some(&|name, out| match manifest.tensors.get(name) {
            Some(tensor) => Ok(registry.copy_tensor(tensor, out)?.map_err(Into::into)),
            None => Ok(Err(missing(name).into())),
        }),
    };
    Ok(use_them(&parts)?)
}

/// Writes a model in the format that it came in: same files, same names, same types. One that was made
/// here becomes a safetensors file, as does any when `safetensors` is wanted. No more than a piece of a tensor
/// is in memory at a time (ONNX files are put together whole).
///
/// # Errors
/// [`EngineError`]; what was there before is still there then.
pub fn export(
    registry: &Registry,
    model: &LoadedModel,
    path: &Path,
    safetensors: bool,
) -> Result<ModelFormat, EngineError> {
    match format_of(model)?.filter(|_| !safetensors) {
        Some(format) => {
            with_parts(registry, model, |parts| {
                disinherit_formats::write(path, &format, parts)
            })?;
            Ok(format)
        }
        None => {
            let file = WeightFile {
                name: "model.safetensors".into(),
                format: FileFormat::Safetensors,
                tensors: model.manifest.tensors.names().map(str::to_owned).collect(),
            };
            let tensors = model.manifest.tensors.iter();
            let tensors = tensors.map(|(name, tensor)| (name, tensor.dtype, &tensor.shape[..]));
            let header = preamble(tensors, said(model)?)
                .map_err(|reason| EngineError::Document(format!("`{}`: {reason}", model.id())))?;
            let header = (file.header(), header);
            let format = ModelFormat {
                folder: false,
                files: vec![file],
            };
            with_parts(registry, model, |parts| {
                let parts = Parts {
                    documents: BTreeMap::from([header]),
                    ..*parts
                };
                disinherit_formats::write(path, &format, &parts)
            })?;
            Ok(format)
        }
    }
}

/// The metadata of a safetensors file of ours.
fn said(model: &LoadedModel) -> Result<HashMap<String, String>, EngineError> {
    let labels = serde_json::to_string(&model.manifest.labels)
        .map_err(|error| EngineError::Document(format!("labels cannot be written: {error}")))?;
    let pairs = [
        ("model", model.id().to_string()),
        ("digest", model.digest.to_string()),
        ("architecture", model.architecture.kind.to_string()),
        ("labels", labels),
    ];
    Ok(pairs.map(|(key, value)| (key.to_owned(), value)).into())
}

/// The file with the graph of a model that came as ONNX: its name, and its format.
fn onnx_file(format: &ModelFormat) -> Option<(&String, &OnnxFormat)> {
    let file = format.files.first()?;
    match &file.format {
        FileFormat::Onnx(format) => Some((&file.name, format)),
        _ => None,
    }
}

/// Whether a model came as an ONNX graph.
///
/// # Errors
/// As [`format_of`].
pub(crate) fn is_graph(model: &LoadedModel) -> Result<bool, EngineError> {
    Ok(format_of(model)?.as_ref().and_then(onnx_file).is_some())
}

/// Whether two models came as the same ONNX graph, with other weights.
///
/// # Errors
/// As [`format_of`].
pub(crate) fn have_same_graph(a: &LoadedModel, b: &LoadedModel) -> Result<bool, EngineError> {
    let (a, b) = (format_of(a)?, format_of(b)?);
    let graph = |format: &Option<ModelFormat>| Some(onnx_file(format.as_ref()?)?.1.clone());
    Ok(graph(&a).is_some() && graph(&a) == graph(&b))
}

/// The file of an ONNX model up to its head, with its weights in it, and its format; nothing for a model of
/// another format. Weights in `changed` take the place of the model's own.
fn graph_of(
    registry: &Registry,
    model: &LoadedModel,
    changed: &BTreeMap<String, Tensor>,
) -> Result<Option<(Vec<u8>, OnnxFormat)>, EngineError> {
    let Some(whole) = format_of(model)? else {
        return Ok(None);
    };
    let Some((name, format)) = onnx_file(&whole) else {
        return Ok(None);
    };
    let mut files = with_parts(registry, model, |parts| {
        let tensor = |name: &str| match changed.get(name) {
            Some(tensor) => Ok(tensor.clone()),
            None => (parts.tensor)(name),
        };
        let parts = Parts {
            documents: parts.documents.clone(),
            describe: parts.describe,
            tensor: &tensor,
            copy: None,
        };
        onnx_files(&whole, &parts)
    })?;
    let bytes = files.remove(name);
    let bytes = bytes.ok_or_else(|| refuse(model, "its ONNX file is not whole".into()))?;
    let bytes = up_to_head(&bytes, &[&format.features], &files);
    let bytes = bytes.map_err(|reason| refuse(model, reason))?;
    Ok(Some((bytes, format.clone())))
}

fn refuse(model: &LoadedModel, reason: String) -> EngineError {
    EngineError::NotRunnable {
        model: model.id().clone(),
        reason,
    }
}

/// How graphs are run up to their heads.
pub(crate) struct GraphRun<'a> {
    pub(crate) registry: &'a Registry,
    /// What runs them, where it is not the program itself.
    pub(crate) runtime: Option<OnnxRuntime>,
}

impl GraphRun<'_> {
    /// The features that an ONNX model makes of samples, with `changed` in place of some of its weights;
    /// nothing for a model of another format.
    ///
    /// # Errors
    /// [`EngineError`] when the graph cannot be run, or the samples do not fit its inputs.
    pub(crate) fn run(
        &self,
        model: &LoadedModel,
        changed: &BTreeMap<String, Tensor>,
        set: &DataSet,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Option<Matrix>, EngineError> {
        let Some((bytes, format)) = graph_of(self.registry, model, changed)? else {
            return Ok(None);
        };
        let made = match self.runtime {
            Some(runtime) => {
                tracing::info!(model = %model.id(), samples = set.len(), "run by {runtime:?}");
                RuntimeGraph::new(runtime, &bytes, format.inputs, &format.features)
                    .and_then(|graph| graph.features(set, &model.preprocessing, progress))
            }
            None => run_here(model, (bytes, format), set, progress),
        };
        made.map(Some).map_err(EngineError::net(model.id()))
    }
}

/// The features by the engine for image networks where it knows every step of the graph, else by `rten`.
fn run_here(
    model: &LoadedModel,
    (bytes, format): (Vec<u8>, OnnxFormat),
    set: &DataSet,
    progress: &mut dyn FnMut(usize),
) -> Result<Matrix, NetError> {
    let (inputs, features) = (format.inputs, &format.features);
    let preprocessing = &model.preprocessing;
    let said = |by: &str| {
        tracing::info!(model = %model.id(), samples = set.len(), "run by {by}");
    };
    let known = match graph_steps(&bytes, features) {
        Some(steps) => KnownGraph::new(steps, &inputs, set)?,
        None => None,
    };
    if let Some(graph) = known {
        said("the engine for image networks");
        return graph.features(set, preprocessing, progress);
    }
    let graph = GraphNetwork::new(bytes, inputs, features)?;
    said("rten");
    graph.features(set, preprocessing, progress)
}

/// The graph of an ONNX model cut at its last layer of weights below the head; or why that cannot be
/// edited.
///
/// # Errors
/// [`EngineError`] when the graph cannot be put together or loaded.
pub(crate) fn cut_graph(
    registry: &Registry,
    model: &LoadedModel,
) -> Result<Result<GraphCut, String>, EngineError> {
    let Some((bytes, format)) = graph_of(registry, model, &BTreeMap::new())? else {
        return Ok(Err("what lies below its head is not run here".into()));
    };
    let layer = match layer_below(&bytes, &format.features) {
        Ok(layer) => layer,
        Err(reason) => return Ok(Err(reason)),
    };
    let bytes = up_to_head(&bytes, &layer.values(&format.features), &BTreeMap::new());
    let bytes = bytes.map_err(|reason| refuse(model, reason))?;
    // An operation that is not known here may be one that ONNX Runtime knows.
    Ok(GraphCut::new(bytes, format.inputs, &format.features, layer)
        .map_err(|error| error.to_string()))
}
