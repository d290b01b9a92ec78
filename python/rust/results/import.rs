//! What an import of a tree found.

use disinherit::import::{ImportNote, ImportPlan, ImportedModel, ParentEvidence};
use disinherit::umig::ModelId;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::results::record::{Record, list, maybe, record, texts};

/// What an import found, and the versions that it added.
pub(crate) struct Imported {
    pub(crate) plan: ImportPlan,
    pub(crate) added: Vec<ModelId>,
}

impl Record for Imported {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Imported" {
            added: texts(&self.added),
            models: list(py, self.plan.models())?,
            notes: list(py, self.plan.notes())?,
        })
    }
}

impl Record for ImportedModel {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let parents = PyList::empty(py);
        for (name, relation) in &self.parents {
            parents.append((name, relation.record(py)?))?;
        }
        record!(py, "ImportedModel" {
            name: &self.name,
            path: self.path.to_string_lossy(),
            format: &self.format,
            network: &self.network,
            head: &self.head,
            labels: &self.labels,
            parents: parents,
            evidence: maybe(py, self.evidence.as_ref())?,
        })
    }
}

impl Record for ParentEvidence {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (source, measured) = match *self {
            Self::ModelCard => ("model_card", None),
            Self::FileMetadata => ("file_metadata", None),
            Self::MergeConfig => ("merge_config", None),
            Self::Adapter => ("adapter", None),
            Self::Weights {
                confidence,
                shared,
                distance,
            } => ("weights", Some((confidence, shared, distance))),
        };
        record!(py, "ParentEvidence" {
            source: source,
            confidence: measured.map(|found| found.0),
            shared: measured.map(|found| found.1),
            distance: measured.map(|found| found.2),
        })
    }
}

impl Record for ImportNote {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let kind = match self {
            Self::LeftOut { .. } => "left_out",
            Self::Reader { .. } => "reader",
            Self::UnknownBase { .. } => "unknown_base",
            Self::Doubtful { .. } => "doubtful",
        };
        record!(py, "ImportNote" { kind: kind, text: self.to_string() })
    }
}
