//! The registry for Python: thin, over `engine` and `results`.

use std::path::PathBuf;
use std::sync::Arc;

use disinherit::EngineError;
use disinherit::certificate::SecretKey;
use disinherit::registry::{ModelRow, OperationId, Purge};
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;

use crate::arguments::{Asked, NewModel, Options, TreeOptions};
use crate::cards;
use crate::data_sets::Data;
use crate::engine;
use crate::errors::{raised, refused};
use crate::issued::issued;
use crate::progress::Shown;
use crate::results::{Details, Graph, Record, list, plain};
use crate::tensors::{Arrays, Given, dtype_name};
use crate::umig::Umig;

/// A registry of models.
#[pyclass(frozen, module = "disinherit._disinherit")]
pub(crate) struct Registry {
    inner: Arc<disinherit::registry::Registry>,
}

impl Registry {
    /// The engine's registry.
    pub(crate) fn engine(&self) -> &disinherit::registry::Registry {
        &self.inner
    }

    /// The same, to be kept.
    pub(crate) fn shared(&self) -> Arc<disinherit::registry::Registry> {
        Arc::clone(&self.inner)
    }

    fn details(&self, model: &str) -> Result<Option<Details>, EngineError> {
        let loaded = engine::loaded(&self.inner, model)?;
        let cards = self.inner.cards(loaded.digest)?;
        let row: Option<ModelRow> = self.inner.model(loaded.id())?;
        Ok(row.map(|row| Details {
            // The vertex of the graph can say what its lists of samples hold.
            row: ModelRow {
                vertex: loaded.vertex.clone(),
                ..row
            },
            loaded,
            cards: cards.into_iter().map(|card| card.estimator).collect(),
        }))
    }
}

#[pymethods]
impl Registry {
    /// Opens the registry at a place (a folder or a URL).
    #[staticmethod]
    fn open(py: Python<'_>, place: &str, actor: String) -> PyResult<Self> {
        let inner = py.detach(|| engine::open(place, actor)).map_err(raised)?;
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Makes a registry at a place.
    #[staticmethod]
    fn create(
        py: Python<'_>,
        place: &str,
        catalog: Option<&str>,
        hash_ids: bool,
        actor: String,
    ) -> PyResult<Self> {
        let inner = py
            .detach(|| engine::create(place, catalog, hash_ids, actor))
            .map_err(raised)?;
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// A registry in memory, gone with the object.
    #[staticmethod]
    fn memory(actor: String) -> PyResult<Self> {
        let inner = disinherit::registry::Registry::in_memory()
            .map_err(raised)?
            .used_by(actor);
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Where it is, in words.
    #[getter]
    fn address(&self) -> String {
        self.inner.address().to_owned()
    }

    /// Adds a model from a file or a folder; returns its id.
    fn add_file(&self, py: Python<'_>, path: PathBuf, new: NewModel) -> PyResult<String> {
        let id = py.detach(|| engine::add_file(&self.inner, path, new))?;
        Ok(id.to_string())
    }

    /// Adds a model from arrays of bytes, each with its type and shape as in safetensors.
    fn add_tensors(
        &self,
        py: Python<'_>,
        tensors: Vec<Given<'_>>,
        new: NewModel,
    ) -> PyResult<String> {
        let arrays = Arrays::new(tensors)?;
        let id = py.detach(|| engine::add_tensors(&self.inner, &arrays, new))?;
        Ok(id.to_string())
    }

    /// Adds several models from arrays of bytes, in one operation; returns their ids.
    fn add_all(
        &self,
        py: Python<'_>,
        models: Vec<(Vec<Given<'_>>, NewModel)>,
    ) -> PyResult<Vec<String>> {
        let models = models.into_iter().map(|(tensors, new)| {
            let arrays = Arrays::new(tensors)?;
            Ok((arrays, new))
        });
        let models: Vec<(Arrays, NewModel)> = models.collect::<PyResult<_>>()?;
        let ids = py.detach(|| engine::add_all_tensors(&self.inner, models))?;
        Ok(ids.iter().map(ToString::to_string).collect())
    }

    /// Adds the models at and below some paths, in one operation.
    fn import_tree<'py>(
        &self,
        py: Python<'py>,
        paths: Vec<PathBuf>,
        options: TreeOptions,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (dry_run, shown) = (options.dry_run, Shown(progress));
        let options = options.read()?;
        py.detach(|| engine::import_tree(&self.inner, &paths, &options, dry_run, &shown))?
            .record(py)
    }

    /// All versions, in their order.
    fn models<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let rows = py.detach(|| self.inner.models()).map_err(raised)?;
        Ok(list(py, &rows)?.into_any())
    }

    /// The inheritance graph.
    fn graph<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let read = || -> Result<Graph, EngineError> {
            Ok(Graph(self.inner.models()?, self.inner.graph()?))
        };
        py.detach(read).map_err(raised)?.record(py)
    }

    /// The inheritance graph by itself.
    fn umig(&self, py: Python<'_>) -> PyResult<Umig> {
        let inner = py.detach(|| self.inner.graph()).map_err(raised)?;
        Ok(Umig { inner })
    }

    /// One version: provenance, manifest, cards.
    fn show<'py>(&self, py: Python<'py>, model: &str) -> PyResult<Bound<'py, PyAny>> {
        let details = py.detach(|| self.details(model)).map_err(raised)?;
        details
            .ok_or_else(|| {
                raised(EngineError::UnknownModel {
                    name: model.to_owned(),
                    near: None,
                })
            })?
            .record(py)
    }

    /// The operation log, oldest first.
    fn log<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let rows = py.detach(|| self.inner.operations()).map_err(raised)?;
        Ok(list(py, &rows)?.into_any())
    }

    /// Takes an operation back.
    fn undo<'py>(&self, py: Python<'py>, operation: i64) -> PyResult<Bound<'py, PyAny>> {
        let undone = py
            .detach(|| self.inner.undo(OperationId::new(operation)))
            .map_err(raised)?;
        undone.record(py)
    }

    /// Deletes the weights of superseded versions.
    fn purge<'py>(
        &self,
        py: Python<'py>,
        models: Vec<String>,
        reason: String,
        dry_run: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let purge = || -> Result<_, EngineError> {
            Ok(self.inner.purge(&Purge {
                models: engine::ids(&self.inner, &models)?,
                reason,
                erasure: None,
                dry_run,
            })?)
        };
        py.detach(purge).map_err(raised)?.record(py)
    }

    /// Removes objects that nothing speaks of.
    fn collect_garbage<'py>(
        &self,
        py: Python<'py>,
        dry_run: bool,
        drafts: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let garbage = py.detach(|| self.inner.collect_garbage(dry_run, drafts));
        garbage.map_err(raised)?.record(py)
    }

    /// Brings small objects together into packs.
    fn pack<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let gathered = py.detach(|| self.inner.pack_objects());
        gathered.map_err(raised)?.record(py)
    }

    /// Reads everything and says what is not what it was.
    fn check<'py>(
        &self,
        py: Python<'py>,
        repair: bool,
        source: Option<&Self>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let from = source.map(|other| &*other.inner);
        let health = py.detach(|| self.inner.check(repair, from, &mut |_, _| ()));
        health.map_err(raised)?.record(py)
    }

    /// Computes and keeps FIM cards; returns how many were made.
    fn fisher(
        &self,
        py: Python<'_>,
        models: Vec<String>,
        data: &Data,
        options: Options,
        again: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<usize> {
        let (options, shown) = (options.read()?, Shown(progress));
        py.detach(|| engine::fisher(&self.inner, &models, data, &options, again, &shown))
            .map_err(raised)
    }

    /// The FIM card of a version, as a file has it.
    fn card(&self, py: Python<'_>, model: &str) -> PyResult<Option<Vec<u8>>> {
        py.detach(|| cards::card(&self.inner, model))
            .map_err(raised)
    }

    /// Adds a FIM card that was computed elsewhere; returns the id of the version that it is of.
    fn import_card(
        &self,
        py: Python<'_>,
        card: &[u8],
        model: Option<&str>,
        source: Option<&str>,
    ) -> PyResult<String> {
        py.detach(|| cards::bring(&self.inner, card, model, source))
            .map_err(raised)
    }

    /// Which models a request touches, and the work that it means.
    fn plan<'py>(
        &self,
        py: Python<'py>,
        request: Asked,
        data: Option<&Data>,
        options: Options,
        shards: u32,
    ) -> PyResult<Bound<'py, PyAny>> {
        let options = options.read()?;
        let plan = py.detach(|| engine::plan(&self.inner, &request, data, &options, shards));
        plan.map_err(raised)?.record(py)
    }

    /// Forgets; says what it did.
    fn unlearn<'py>(
        &self,
        py: Python<'py>,
        request: Asked,
        data: Option<&Data>,
        options: Options,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (options, shown) = (options.read()?, Shown(progress));
        py.detach(|| engine::unlearn(&self.inner, &request, data, &options, &shown))
            .map_err(raised)?
            .record(py)
    }

    /// Does one shard of a request; publishes nothing.
    fn unlearn_shard<'py>(
        &self,
        py: Python<'py>,
        request: Asked,
        data: Option<&Data>,
        options: Options,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (options, shown) = (options.read()?, Shown(progress));
        py.detach(|| engine::unlearn_shard(&self.inner, &request, data, &options, &shown))
            .map_err(raised)?
            .record(py)
    }

    /// Whether models have forgotten; those of the last request when none is named.
    #[allow(clippy::too_many_arguments)]
    fn verify<'py>(
        &self,
        py: Python<'py>,
        data: &Data,
        models: Vec<String>,
        request: Option<Asked>,
        at_most: f64,
        deep: bool,
        shard: Option<&str>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let shown = Shown(progress);
        let shard = shard.map(str::parse).transpose().map_err(refused)?;
        let asked = engine::Verification {
            models,
            request,
            judging: engine::Judging { at_most, deep },
            shard,
        };
        let verdicts = py.detach(|| engine::verify(&self.inner, data, &asked, &shown));
        let verdicts = verdicts.map_err(raised)?;
        Ok(list(py, &verdicts)?.into_any())
    }

    /// The texts of a certificate, with what it says; of `how`, the largest accuracy that passes, whether to look
    /// inside, and whether to say it in the words of in-toto too.
    fn certify<'py>(
        &self,
        py: Python<'py>,
        key: &[u8],
        request: Option<&str>,
        data: Option<&Data>,
        how: (f64, bool, bool),
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(Vec<String>, Bound<'py, PyAny>)> {
        let shown = Shown(progress);
        let (at_most, deep, in_toto) = how;
        let issue = || {
            let key = SecretKey::from_pem(&String::from_utf8_lossy(key))?;
            let judged = engine::Judging { at_most, deep };
            let envelope = engine::certify(&self.inner, &key, request, data, &judged, &shown)?;
            issued(&envelope, &key, in_toto)
        };
        let made = py.detach(issue).map_err(raised)?;
        made.given(py)
    }

    /// The bill of materials of a version, or else of a request; with what a certificate says: the name of its file,
    /// its bytes, and the public key.
    fn bill<'py>(
        &self,
        py: Python<'py>,
        model: Option<&str>,
        request: Option<&str>,
        certificate: Option<(String, Vec<u8>, Vec<u8>)>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let made = || engine::bill(&self.inner, model, request, certificate.as_ref());
        plain(py, &py.detach(made).map_err(raised)?)
    }

    /// Operations as OpenLineage events; that of a request where one is named.
    fn lineage_events<'py>(
        &self,
        py: Python<'py>,
        namespace: &str,
        request: Option<&str>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let made = || engine::lineage(&self.inner, namespace, request);
        plain(py, &py.detach(made).map_err(raised)?)
    }

    /// Writes the page of the last request.
    fn report(
        &self,
        py: Python<'_>,
        path: PathBuf,
        data: Option<&Data>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let shown = Shown(progress);
        let page = py
            .detach(|| engine::report(&self.inner, data, &shown))
            .map_err(raised)?;
        engine::write_page(&path, &page)
    }

    /// Writes a model in the format that it came in; with a key, signs it and says where the signature is.
    fn export(
        &self,
        py: Python<'_>,
        model: &str,
        path: PathBuf,
        key: Option<&[u8]>,
    ) -> PyResult<Option<String>> {
        let export = || {
            let key = key.map(|key| SecretKey::from_pem(&String::from_utf8_lossy(key)));
            engine::export(&self.inner, model, &path, key.transpose()?.as_ref())
        };
        let signature = py.detach(export).map_err(raised)?;
        Ok(signature.map(|path| path.display().to_string()))
    }

    /// The names of a model's tensors with their types and shapes.
    fn tensor_names(
        &self,
        py: Python<'_>,
        model: &str,
    ) -> PyResult<Vec<(String, String, Vec<usize>)>> {
        let loaded = py.detach(|| engine::loaded(&self.inner, model));
        let loaded = loaded.map_err(raised)?;
        let tensors = loaded.manifest.tensors.iter();
        Ok(tensors
            .map(|(name, tensor)| {
                let dtype = dtype_name(tensor.dtype);
                (name.to_owned(), dtype, tensor.shape.to_vec())
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
        let read = || -> Result<Vec<u8>, EngineError> {
            let loaded = engine::loaded(&self.inner, model)?;
            Ok(loaded.tensor(&self.inner, name)?.bytes)
        };
        Ok(py.detach(read).map_err(raised)?.into_pyarray(py))
    }

    fn __repr__(&self) -> String {
        format!("<disinherit.Registry at {}>", self.inner.address())
    }
}
