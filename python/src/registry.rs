//! The registry for Python.

use std::collections::BTreeMap;
use std::path::PathBuf;

use disinherit::{
    Alpha, Depth, Evaluator, FEATURE_CACHE, Features, FisherOptions, LoadedModel, Scale,
    UnlearnOptions,
};
use disinherit_data::Splits;
use disinherit_formats::{Dtype, TensorSource};
use disinherit_nets::{Architecture, Compute};
use disinherit_registry::{Location, RegistryError};
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use serde::{Deserialize, Serialize};
use umig::{Forget, ModelId, Request};

use crate::data_sets::Data;
use crate::model::{Arrays, Given, Spec};
use crate::progress::Shown;
use crate::raised;

/// A registry of models.
#[pyclass(frozen, module = "disinherit._disinherit")]
pub(crate) struct Registry {
    inner: disinherit_registry::Registry,
}

/// What Python says of a request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    classes: Option<Vec<String>>,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    samples: Option<Vec<String>>,
    #[serde(default)]
    from: Vec<String>,
}

/// How Python wants it done.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    alpha: Option<f64>,
    #[serde(default)]
    rule: bool,
    #[serde(default)]
    lambda: Option<f64>,
    #[serde(default)]
    raw: bool,
    #[serde(default)]
    merge_scale: Option<f64>,
    #[serde(default)]
    target_forget: Option<f64>,
    #[serde(default)]
    target_loss: Option<f64>,
    #[serde(default)]
    layers: Option<String>,
    #[serde(default)]
    estimator: Option<String>,
    #[serde(default)]
    jobs: usize,
    #[serde(default)]
    dry_run: bool,
    #[serde(default)]
    dampen_only: bool,
}

impl Options {
    fn read(self) -> PyResult<UnlearnOptions> {
        let default = UnlearnOptions::default();
        let mut fisher = FisherOptions::default();
        if let Some(layers) = &self.layers {
            fisher.layers = layers.parse().map_err(raised)?;
        }
        if let Some(estimator) = &self.estimator {
            fisher.estimator = estimator.parse().map_err(raised)?;
        }
        Ok(UnlearnOptions {
            alpha: match (self.alpha, self.rule) {
                (Some(value), _) => Alpha::Value(value),
                (None, true) => Alpha::Rule,
                (None, false) => Alpha::Auto,
            },
            lambda: self.lambda,
            scale: if self.raw { Scale::Raw } else { Scale::Common },
            merge_scale: self.merge_scale.unwrap_or(default.merge_scale),
            target_forget: self.target_forget,
            target_loss: self.target_loss.unwrap_or(default.target_loss),
            fisher,
            jobs: self.jobs,
            dry_run: self.dry_run,
            lower: !self.dampen_only,
            ..default
        })
    }
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> PyResult<T> {
    serde_json::from_str(text).map_err(raised)
}

fn write(value: &impl Serialize) -> PyResult<String> {
    serde_json::to_string(value).map_err(raised)
}

impl Registry {
    fn ids(&self, names: &[String]) -> PyResult<Vec<ModelId>> {
        let graph = self.inner.graph().map_err(raised)?;
        names
            .iter()
            .map(|name| {
                Ok(disinherit::resolve(&graph, name)
                    .map_err(raised)?
                    .id
                    .clone())
            })
            .collect()
    }

    fn request(&self, text: &str) -> PyResult<Request> {
        let asked: Asked = read(text)?;
        let forget = match (asked.classes, asked.source, asked.samples) {
            (Some(classes), None, None) => Forget::classes(classes),
            (None, Some(source), None) => Forget::Source(source),
            (None, None, Some(samples)) => Forget::Samples(samples.into_iter().collect()),
            _ => {
                return Err(raised(
                    "say what to forget: classes, a source or samples, one of them",
                ));
            }
        };
        Ok(Request::new(forget).from_models(self.ids(&asked.from)?))
    }

    /// Runs networks: those of the data, where it has some.
    fn features<'a>(&'a self, data: Option<&'a Data>) -> Features<'a> {
        Features::new(&self.inner, Compute::default(), FEATURE_CACHE)
            .run_by(data.and_then(Data::runner))
    }

    fn loaded(&self, name: &str) -> PyResult<LoadedModel> {
        let graph = self.inner.graph().map_err(raised)?;
        let id = disinherit::resolve(&graph, name)
            .map_err(raised)?
            .id
            .clone();
        LoadedModel::open(&self.inner, &graph, &id).map_err(raised)
    }
}

/// A registry's place, with the storage's settings from the environment.
fn location(place: &str) -> Result<Location, RegistryError> {
    Ok(Location::parse(place)?.with_settings(std::env::vars()))
}

#[pymethods]
impl Registry {
    /// Opens the registry at a place (a folder or a URL).
    #[staticmethod]
    fn open(py: Python<'_>, place: &str, actor: String) -> PyResult<Self> {
        let open = || -> Result<disinherit_registry::Registry, RegistryError> {
            Ok(disinherit_registry::Registry::open_at(&location(place)?)?.used_by(actor))
        };
        let inner = py.detach(open).map_err(raised)?;
        Ok(Self { inner })
    }

    /// Makes a registry at a place.
    #[staticmethod]
    fn create(py: Python<'_>, place: &str, catalog: Option<&str>, actor: String) -> PyResult<Self> {
        let create = || -> Result<disinherit_registry::Registry, RegistryError> {
            let place = location(place)?;
            if let Location::Folder(folder) = &place {
                std::fs::create_dir_all(folder).map_err(RegistryError::io("make", folder))?;
            }
            Ok(disinherit_registry::Registry::create_with(&place, catalog)?.used_by(actor))
        };
        let inner = py.detach(create).map_err(raised)?;
        Ok(Self { inner })
    }

    /// A registry in memory, gone with the object.
    #[staticmethod]
    fn memory(actor: String) -> PyResult<Self> {
        let inner = disinherit_registry::Registry::in_memory()
            .map_err(raised)?
            .used_by(actor);
        Ok(Self { inner })
    }

    /// Where it is, in words.
    #[getter]
    fn address(&self) -> String {
        self.inner.address().to_owned()
    }

    /// Adds a model from a file or a folder; returns its id.
    fn add_file(&self, py: Python<'_>, path: PathBuf, spec: &str) -> PyResult<String> {
        let spec: Spec = read(spec)?;
        let network = spec.network()?;
        py.detach(|| {
            let bundle = disinherit_formats::open(&path).map_err(raised)?;
            let (architecture, labels) =
                disinherit::describe(&path, &bundle, &network).map_err(raised)?;
            let new = spec.model(path, architecture, labels);
            disinherit::add_bundle(&self.inner, &new, &bundle)
                .map(|id| id.to_string())
                .map_err(raised)
        })
    }

    /// Adds a model from arrays of bytes, each with its type and shape as in safetensors.
    fn add_tensors(&self, py: Python<'_>, tensors: Vec<Given<'_>>, spec: &str) -> PyResult<String> {
        let spec: Spec = read(spec)?;
        let arrays = tensors
            .into_iter()
            .map(|(name, dtype, shape, bytes)| {
                let dtype: Dtype = serde_json::from_value(dtype.into()).map_err(raised)?;
                Ok((name, (dtype, shape, bytes.unbind())))
            })
            .collect::<PyResult<BTreeMap<_, _>>>()?;
        let arrays = Arrays(arrays);
        let count = spec.labels.as_ref().map(Vec::len);
        let head = disinherit_formats::find_head(&arrays.tensors(), spec.head.as_deref(), count)
            .map_err(|reason| raised(format!("`{}` cannot be added: {reason}", spec.name)))?;
        let labels = spec
            .labels
            .clone()
            .unwrap_or_else(|| (0..head.outputs).map(|row| row.to_string()).collect());
        let architecture = Architecture::for_head(head.name, head.inputs, head.outputs);
        let new = spec.model(PathBuf::new(), architecture, labels);
        py.detach(|| disinherit::add_tensors(&self.inner, &new, &arrays))
            .map(|id| id.to_string())
            .map_err(raised)
    }

    /// All versions, in their order, as JSON.
    fn models(&self) -> PyResult<String> {
        let rows = self.inner.models().map_err(raised)?;
        let list: Vec<_> = rows
            .iter()
            .map(|row| {
                serde_json::json!({
                    "id": row.vertex.id,
                    "name": row.vertex.id.name(),
                    "version": row.vertex.id.version(),
                    "state": row.state().name(),
                    "digest": row.manifest,
                    "labels": row.vertex.labels,
                    "time": row.vertex.time,
                })
            })
            .collect();
        write(&list)
    }

    /// The inheritance graph as JSON.
    fn graph(&self) -> PyResult<String> {
        write(&self.inner.graph().map_err(raised)?)
    }

    /// One version with its manifest, as JSON.
    fn show(&self, model: &str) -> PyResult<String> {
        let loaded = self.loaded(model)?;
        let cards = self.inner.cards(loaded.digest).map_err(raised)?;
        let estimators: Vec<&str> = cards.iter().map(|card| card.estimator.as_str()).collect();
        write(&serde_json::json!({
            "model": loaded.vertex,
            "digest": loaded.digest,
            "manifest": loaded.manifest,
            "cards": estimators,
        }))
    }

    /// The operation log as JSON.
    fn log(&self) -> PyResult<String> {
        write(&self.inner.operations().map_err(raised)?)
    }

    /// Takes an operation back.
    fn undo(&self, py: Python<'_>, operation: i64) -> PyResult<String> {
        py.detach(|| self.inner.undo(operation.into()))
            .map_err(raised)
            .and_then(|undone| write(&undone))
    }

    /// Computes and keeps FIM cards; returns how many were made.
    #[pyo3(signature = (models, data, layers, again, progress))]
    fn fisher(
        &self,
        py: Python<'_>,
        models: Vec<String>,
        data: &Data,
        layers: &str,
        again: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<usize> {
        let ids = self.ids(&models)?;
        let options = FisherOptions {
            layers: layers.parse().map_err(raised)?,
            ..FisherOptions::default()
        };
        let made = py.detach(|| {
            let graph = self.inner.graph()?;
            let loaded = ids
                .iter()
                .map(|id| LoadedModel::open(&self.inner, &graph, id))
                .collect::<Result<Vec<_>, _>>()?;
            disinherit::compute_cards(
                &self.inner,
                &loaded,
                &data.splits.train,
                &options,
                &self.features(Some(data)),
                again,
                &Shown(progress),
            )
        });
        made.map(|rows| rows.len())
            .map_err(|error| data.raised(&error))
    }

    /// Whom a request touches, as JSON.
    fn plan(&self, request: &str) -> PyResult<String> {
        let request = self.request(request)?;
        let plan = self.inner.graph().map_err(raised)?.plan(&request);
        write(&plan.map_err(raised)?)
    }

    /// Forgets; what it did, as JSON.
    #[pyo3(signature = (request, data, options, progress))]
    fn unlearn(
        &self,
        py: Python<'_>,
        request: &str,
        data: Option<&Data>,
        options: &str,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<String> {
        let request = self.request(request)?;
        let options = read::<Options>(options)?.read()?;
        let splits: Option<&Splits> = data.map(|data| &data.splits);
        let done = py.detach(|| {
            let shown = Shown(progress);
            let features = self.features(data).not_writing(&request.forget);
            let prepared =
                disinherit::prepare(&self.inner, &request, splits, &options, &features, &shown)?;
            disinherit::unlearn(&self.inner, &prepared, &options, &shown)
        });
        write(&done.map_err(|error| match data {
            Some(data) => data.raised(&error),
            None => raised(error),
        })?)
    }

    /// Whether models have forgotten, as JSON; those of the last request when none is named.
    #[pyo3(signature = (data, models, request, at_most, progress))]
    fn verify(
        &self,
        py: Python<'_>,
        data: &Data,
        models: Vec<String>,
        request: Option<&str>,
        at_most: f64,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<String> {
        let last = || disinherit::last_request(&self.inner, None).map_err(raised);
        let forget = match request {
            Some(text) => self.request(text)?.forget,
            None => last()?.0.forget,
        };
        let ids = if models.is_empty() {
            last()?.1.into_iter().map(|model| model.after).collect()
        } else {
            self.ids(&models)?
        };
        let verdicts = py.detach(|| {
            let features = self.features(Some(data)).not_writing(&forget);
            let evaluator = Evaluator::new(&data.splits, &features);
            disinherit::judge(
                &self.inner,
                &evaluator,
                &ids,
                &forget,
                at_most,
                &Shown(progress),
            )
        });
        write(&verdicts.map_err(|error| data.raised(&error))?)
    }

    /// Writes the page of the last request.
    #[pyo3(signature = (path, data, progress))]
    fn report(
        &self,
        py: Python<'_>,
        path: PathBuf,
        data: Option<&Data>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let depth = Depth {
            attacks: true,
            relearning: false,
        };
        let study = py.detach(|| {
            disinherit::revisit(
                &self.inner,
                None,
                data.map(|data| &data.splits),
                depth,
                Compute::default(),
                data.and_then(Data::runner),
                &Shown(progress),
            )
        });
        let study = study.map_err(|error| match data {
            Some(data) => data.raised(&error),
            None => raised(error),
        })?;
        let page = disinherit_report::page(std::slice::from_ref(&study)).map_err(raised)?;
        disinherit_formats::write_file(&path, page.as_bytes()).map_err(raised)
    }

    /// Writes a model in the form that it came in.
    fn export(&self, py: Python<'_>, model: &str, path: PathBuf) -> PyResult<()> {
        let loaded = self.loaded(model)?;
        py.detach(|| disinherit::export(&self.inner, &loaded, &path, false))
            .map(drop)
            .map_err(raised)
    }

    /// The names of a model's tensors with their types and shapes.
    fn tensor_names(&self, model: &str) -> PyResult<Vec<(String, String, Vec<usize>)>> {
        let loaded = self.loaded(model)?;
        let tensors = loaded.manifest.tensors.iter();
        Ok(tensors
            .map(|(name, tensor)| {
                (
                    name.clone(),
                    format!("{:?}", tensor.dtype),
                    tensor.shape.clone(),
                )
            })
            .collect())
    }

    /// The bytes of one tensor.
    fn tensor<'py>(
        &self,
        py: Python<'py>,
        model: &str,
        name: &str,
    ) -> PyResult<Bound<'py, PyArray1<u8>>> {
        let loaded = self.loaded(model)?;
        let tensor = py
            .detach(|| loaded.tensor(&self.inner, name))
            .map_err(raised)?;
        Ok(tensor.bytes.into_pyarray(py))
    }

    fn __repr__(&self) -> String {
        format!("<disinherit.Registry at {}>", self.inner.address())
    }
}
