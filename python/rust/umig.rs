//! The inheritance graph for Python, without a registry.

use std::collections::BTreeMap;

use disinherit::umig::{self, Forget, Model, ModelId, Relation, Request, formats};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::arguments::{Asked, FromParent, NewVertex};
use crate::errors::{raised, refused};
use crate::results::{Edge, Record, from_plain, list, plain, texts};

/// A graph of models.
#[pyclass(module = "disinherit._disinherit")]
pub(crate) struct Umig {
    pub(crate) inner: umig::Umig,
}

impl Umig {
    /// The version that a text names.
    fn id(&self, text: &str) -> PyResult<ModelId> {
        let found = disinherit::model::find(&self.inner, text).map_err(raised)?;
        Ok(found.id.clone())
    }

    /// The id of a new model: as it is given, or the next version of its name.
    fn new_id(&self, text: &str) -> PyResult<ModelId> {
        if text.contains('@') {
            return text.parse().map_err(refused);
        }
        let versions = self.inner.models().filter(|model| model.id.name() == text);
        let last = versions.map(|model| model.id.version()).max().unwrap_or(0);
        ModelId::new(text, last.saturating_add(1)).map_err(refused)
    }

    fn request(&self, asked: &Asked) -> PyResult<Request> {
        let forget: Forget = asked.forget().map_err(raised)?;
        let initial = asked.initial.iter().map(|name| self.id(name));
        Ok(Request::new(forget).from_models(initial.collect::<PyResult<Vec<_>>>()?))
    }

    fn edge_list<'py, 'a>(
        py: Python<'py>,
        edges: impl Iterator<Item = (&'a ModelId, &'a ModelId, &'a Relation)>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let edges: Vec<Edge<'_>> = edges.map(|(p, c, r)| Edge(p, c, r)).collect();
        Ok(list(py, &edges)?.into_any())
    }
}

#[pymethods]
impl Umig {
    /// An empty graph.
    #[new]
    fn new() -> Self {
        Self {
            inner: umig::Umig::new(),
        }
    }

    /// A graph from its JSON.
    #[staticmethod]
    fn from_json(text: &str) -> PyResult<Self> {
        let inner = serde_json::from_str(text)
            .map_err(|error| refused(format!("this is no graph: {error}")))?;
        Ok(Self { inner })
    }

    /// A graph from GraphML.
    #[staticmethod]
    fn from_graphml(text: &str) -> PyResult<Self> {
        let inner = formats::from_graphml(text).map_err(raised)?;
        Ok(Self { inner })
    }

    /// A graph from a Parquet table of its edges.
    #[staticmethod]
    fn from_parquet(table: Vec<u8>) -> PyResult<Self> {
        let inner = disinherit_report::graph_of_edges(table).map_err(refused)?;
        Ok(Self { inner })
    }

    /// The graph as JSON.
    fn to_json(&self) -> PyResult<String> {
        serde_json::to_string(&self.inner).map_err(refused)
    }

    /// The graph as plain values, in the layout of its JSON.
    fn document<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        plain(py, &serde_json::to_value(&self.inner).map_err(refused)?)
    }

    /// A graph from such values.
    #[staticmethod]
    fn from_document(document: &Bound<'_, PyAny>) -> PyResult<Self> {
        let inner = serde_json::from_value(from_plain(document)?)
            .map_err(|error| refused(format!("this is no graph: {error}")))?;
        Ok(Self { inner })
    }

    /// Whether another graph has the same models and edges.
    fn equals(&self, other: &Self) -> bool {
        let (own, other) = (&self.inner, &other.inner);
        own.models().eq(other.models()) && own.edges().eq(other.edges())
    }

    /// The graph as GraphML.
    fn to_graphml(&self) -> PyResult<String> {
        formats::graphml(&self.inner).map_err(raised)
    }

    /// The graph for Graphviz.
    fn to_dot(&self) -> String {
        formats::dot(&self.inner)
    }

    /// The graph for Mermaid.
    fn to_mermaid(&self) -> String {
        formats::mermaid(&self.inner)
    }

    /// The edges as a Parquet file.
    fn to_parquet<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let table = disinherit_report::edges_table(&self.inner).map_err(refused)?;
        Ok(PyBytes::new(py, &table))
    }

    /// Adds a model; returns its id.
    fn add(&mut self, vertex: NewVertex) -> PyResult<String> {
        let id = self.new_id(&vertex.name)?;
        let parents = vertex.parents.iter();
        let parents = parents
            .map(|(name, how)| Ok((self.id(name)?, how.relation()?)))
            .collect::<PyResult<Vec<_>>>()?;
        let latest = self.inner.models().map(|model| model.time).max();
        let next = latest.map_or(0, |time| time.saturating_add(1));
        let mut model = Model::new(id.clone(), vertex.time.unwrap_or(next));
        model.training = vertex.training();
        model.labels = vertex.labels;
        self.inner.add(model, parents).map_err(raised)?;
        Ok(id.to_string())
    }

    /// Adds an edge between models that are there.
    fn add_edge(&mut self, parent: &str, child: &str, how: FromParent) -> PyResult<()> {
        let (parent, child) = (self.id(parent)?, self.id(child)?);
        let added = self.inner.add_edge(&parent, &child, how.relation()?);
        added.map_err(raised)
    }

    /// Marks a version as replaced.
    fn supersede(&mut self, model: &str) -> PyResult<()> {
        let id = self.id(model)?;
        self.inner.supersede(&id).map_err(raised)
    }

    fn __len__(&self) -> usize {
        self.inner.len()
    }

    /// A model, or nothing.
    fn find<'py>(&self, py: Python<'py>, model: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        let found = self.inner.resolve(model);
        found.map(|model| model.record(py)).transpose()
    }

    /// All models.
    fn models<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let models: Vec<&Model> = self.inner.models().collect();
        Ok(list(py, models)?.into_any())
    }

    /// All edges.
    fn edges<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Self::edge_list(py, self.inner.edges())
    }

    /// The edges to a model.
    fn parents<'py>(&self, py: Python<'py>, model: &str) -> PyResult<Bound<'py, PyAny>> {
        let id = self.id(model)?;
        let parents = self.inner.parents(&id).into_iter();
        Self::edge_list(py, parents.map(|(parent, how)| (parent, &id, how)))
    }

    /// The edges from a model.
    fn children<'py>(&self, py: Python<'py>, model: &str) -> PyResult<Bound<'py, PyAny>> {
        let id = self.id(model)?;
        let children = self.inner.children(&id).into_iter();
        Self::edge_list(py, children.map(|(child, how)| (&id, child, how)))
    }

    /// What a model inherited from.
    fn ancestors(&self, model: &str) -> PyResult<Vec<String>> {
        let found = self.inner.ancestors(&self.id(model)?).map_err(raised)?;
        Ok(texts(&found))
    }

    /// What inherited from a model.
    fn descendants(&self, model: &str) -> PyResult<Vec<String>> {
        let found = self.inner.descendants(&self.id(model)?).map_err(raised)?;
        Ok(texts(&found))
    }

    /// All ids, parents before children.
    fn ordered(&self) -> Vec<String> {
        texts(self.inner.ordered())
    }

    /// The longest chain that leads to each model.
    fn depths(&self) -> BTreeMap<String, usize> {
        let depths = self.inner.depths().into_iter();
        depths.map(|(id, depth)| (id.to_string(), depth)).collect()
    }

    /// Whom a request touches.
    fn scope<'py>(&self, py: Python<'py>, request: Asked) -> PyResult<Bound<'py, PyAny>> {
        let request = self.request(&request)?;
        self.inner.scope(&request).map_err(raised)?.record(py)
    }

    /// The work that answers a request.
    fn plan<'py>(&self, py: Python<'py>, request: Asked) -> PyResult<Bound<'py, PyAny>> {
        let request = self.request(&request)?;
        let plan = self.inner.plan(&request).map_err(raised)?;
        (plan, Vec::new()).record(py)
    }

    /// The graph without the versions that were replaced.
    fn current(&self) -> Self {
        Self {
            inner: self.inner.restricted(|model| !model.superseded),
        }
    }
}
