//! Models, their edges, and what a version consists of.

use disinherit::registry::{Manifest, ModelRow};
use disinherit::umig::{Model, ModelId, Relation, SampleError, SampleSet, Scope, Training, Umig};
use disinherit::{EngineError, LoadedModel};
use pyo3::prelude::*;

use crate::errors::raised;
use crate::results::record::{Record, dict, list, plain_or_none, record, texts};
use crate::tensors::dtype_name;

impl Record for Training {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let samples = match &self.samples {
            SampleSet::Listed(ids) => Some(texts(ids)),
            SampleSet::Kept(kept) => match kept.ids() {
                Err(SampleError::Detached { .. } | SampleError::Gone { .. }) => None,
                ids => ids.map_err(|error| raised(EngineError::from(error)))?,
            },
            SampleSet::Unknown | SampleSet::All => None,
        };
        record!(py, "Training" {
            data: &self.data,
            labels: texts(&self.labels),
            samples: samples,
            source: &self.source,
            split: &self.split,
            digest: &self.digest,
            all_samples: self.samples == SampleSet::All,
            sample_count: self.samples.count(),
            hashed_samples: matches!(&self.samples, SampleSet::Kept(kept) if kept.is_hashed()),
        })
    }
}

impl Record for ModelRow {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Model" {
            id: self.vertex.id.to_string(),
            name: self.vertex.id.name(),
            version: self.vertex.id.version(),
            state: self.state().name(),
            digest: self.manifest.to_string(),
            labels: &self.vertex.labels,
            training: list(py, &self.vertex.training)?,
            time: self.vertex.time,
        })
    }
}

impl Record for Relation {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (frozen, request) = match self {
            Self::Transfer { frozen } => (frozen.clone(), None),
            Self::UnlearnedFrom { request } => (Vec::new(), Some(request)),
            _ => (Vec::new(), None),
        };
        record!(py, "Relation" {
            kind: self.name(),
            weight: self.weight(),
            frozen: frozen,
            request: request,
        })
    }
}

impl Record for Model {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Vertex" {
            id: self.id.to_string(),
            name: self.id.name(),
            version: self.id.version(),
            time: self.time,
            labels: &self.labels,
            training: list(py, &self.training)?,
            superseded: self.superseded,
        })
    }
}

impl Record for Scope {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let reached = &self.reached_by;
        record!(py, "Scope" {
            initial: texts(&self.initial),
            inherited: texts(&self.inherited),
            reached_by: dict(py, reached, |ids| Ok(texts(ids).into_pyobject(py)?.into_any()))?,
        })
    }
}

/// An edge of the graph.
pub(crate) struct Edge<'a>(
    pub(crate) &'a ModelId,
    pub(crate) &'a ModelId,
    pub(crate) &'a Relation,
);

impl Record for Edge<'_> {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Edge" {
            parent: self.0.to_string(),
            child: self.1.to_string(),
            relation: self.2.record(py)?,
        })
    }
}

/// The graph with its models.
pub(crate) struct Graph(pub(crate) Vec<ModelRow>, pub(crate) Umig);

impl Record for Graph {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let edges: Vec<Edge<'_>> = self.1.edges().map(|(p, c, r)| Edge(p, c, r)).collect();
        record!(py, "Graph" {
            models: list(py, &self.0)?,
            edges: list(py, &edges)?,
        })
    }
}

impl Record for Manifest {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let tensors = dict(py, self.tensors.iter(), |tensor| {
            record!(py, "TensorInfo" {
                dtype: dtype_name(tensor.dtype),
                shape: tensor.shape.to_vec(),
                digest: tensor.digest.to_string(),
            })
        })?;
        let documents = self.documents.iter();
        record!(py, "Manifest" {
            head: &self.head,
            labels: &self.labels,
            tensors: tensors,
            architecture: plain_or_none(py, self.architecture.as_ref())?,
            preprocessing: plain_or_none(py, self.preprocessing.as_ref())?,
            format: plain_or_none(py, self.format.as_ref())?,
            documents: dict(py, documents, |digest| Ok(digest.to_string().into_pyobject(py)?.into_any()))?,
        })
    }
}

/// One version with what it consists of.
pub(crate) struct Details {
    pub(crate) row: ModelRow,
    pub(crate) loaded: LoadedModel,
    pub(crate) cards: Vec<String>,
}

impl Record for Details {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "ModelDetails" {
            model: self.row.record(py)?,
            manifest: self.loaded.manifest.record(py)?,
            cards: &self.cards,
        })
    }
}
