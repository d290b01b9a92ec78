//! What the engine gives back, as dataclasses of `disinherit.results`. A field that is missing there, or
//! that there is not, is an error as soon as one is made.

use disinherit::evaluation::{Accuracy, CertifiedVerdict, Judgement, Scores};
use disinherit::fiun::{AlphaChoice, HeadPart, LogitSuppression, Selection, Trial};
use disinherit::import::{ImportNote, ImportPlan, ImportedModel, ParentEvidence};
use disinherit::registry::{
    Damage, Digest, Garbage, Health, Made, Manifest, ModelOutcome, ModelRow, OperationRow, Purged,
    Undone,
};
use disinherit::umig::{
    Forget, ModelId, Plan, Reads, Relation, Request, SampleSet, Stage, Task, Training, Umig,
};
use disinherit::{LoadedModel, Unlearned};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use serde_json::Value;

use crate::tensors::dtype_name;

/// Something that is a dataclass in Python.
pub(crate) trait Record {
    /// It, as an object of its class.
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>>;
}

/// Makes an object of a class from its fields.
macro_rules! record {
    ($py:expr, $class:literal { $($field:ident: $value:expr),* $(,)? }) => {{
        let fields = PyDict::new($py);
        $(fields.set_item(stringify!($field), $value)?;)*
        made($py, $class, &fields)
    }};
}

fn made<'py>(
    py: Python<'py>,
    class: &str,
    fields: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let results = py.import("disinherit.results")?;
    results.getattr(class)?.call((), Some(fields))
}

/// A list of objects.
pub(crate) fn list<'py, 'a, T: Record + 'a>(
    py: Python<'py>,
    items: impl IntoIterator<Item = &'a T>,
) -> PyResult<Bound<'py, PyList>> {
    let objects = PyList::empty(py);
    for item in items {
        objects.append(item.record(py)?)?;
    }
    Ok(objects)
}

/// An object, or `None`.
fn maybe<'py, T: Record>(py: Python<'py>, item: Option<&T>) -> PyResult<Option<Bound<'py, PyAny>>> {
    item.map(|item| item.record(py)).transpose()
}

/// A dictionary of what texts name.
fn dict<'py, K: ToString, V>(
    py: Python<'py>,
    items: impl IntoIterator<Item = (K, V)>,
    value: impl Fn(V) -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let found = PyDict::new(py);
    for (key, item) in items {
        found.set_item(key.to_string(), value(item)?)?;
    }
    Ok(found)
}

/// Ids, digests and other things that are texts in Python.
fn texts<T: ToString>(items: impl IntoIterator<Item = T>) -> Vec<String> {
    items.into_iter().map(|item| item.to_string()).collect()
}

/// A text, or `None`.
fn text<T: ToString>(item: Option<&T>) -> Option<String> {
    item.map(ToString::to_string)
}

/// A document, as plain values of Python.
fn plain<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(value) => value.into_pyobject(py)?.to_owned().into_any(),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => value.into_pyobject(py)?.into_any(),
            (None, Some(value)) => value.into_pyobject(py)?.into_any(),
            (None, None) => number.as_f64().into_pyobject(py)?,
        },
        Value::String(value) => value.into_pyobject(py)?.into_any(),
        Value::Array(items) => {
            let found = PyList::empty(py);
            for item in items {
                found.append(plain(py, item)?)?;
            }
            found.into_any()
        }
        Value::Object(items) => dict(py, items, |item| plain(py, item))?.into_any(),
    })
}

/// A document, or `None`.
fn plain_or_none<'py>(
    py: Python<'py>,
    value: Option<&Value>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    value.map(|value| plain(py, value)).transpose()
}

impl Record for Training {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let samples = match &self.samples {
            SampleSet::Listed(ids) => Some(texts(ids)),
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

/// An edge of the graph.
struct Edge<'a>(&'a ModelId, &'a ModelId, &'a Relation);

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
        let tensors = dict(py, &self.tensors, |tensor| {
            record!(py, "TensorInfo" {
                dtype: dtype_name(tensor.dtype),
                shape: tensor.shape.clone(),
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

impl Record for Request {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (classes, source, samples) = match &self.forget {
            Forget::Classes(classes) => (Some(texts(classes)), None, None),
            Forget::Source(source) => (None, Some(source), None),
            Forget::Samples(samples) => (None, None, Some(texts(samples))),
        };
        record!(py, "Request" {
            classes: classes,
            source: source,
            samples: samples,
            initial: texts(&self.from),
        })
    }
}

impl Record for Task {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (kind, reads, initial, fallback) = match self {
            Self::Card { .. } => ("card", Some("training_data"), Vec::new(), None),
            Self::ForgetFisher { reads, .. } => {
                let reads = match reads {
                    Reads::Card => "card",
                    Reads::ForgetData => "forget_data",
                };
                ("forget_fisher", Some(reads), Vec::new(), None)
            }
            Self::Difference { .. } => ("difference", Some("forget_data"), Vec::new(), None),
            Self::Edit {
                initial,
                fallback_card,
                ..
            } => ("edit", None, texts(initial), text(fallback_card.as_ref())),
        };
        record!(py, "Task" {
            kind: kind,
            model: self.model().to_string(),
            initial: initial,
            reads: reads,
            fallback_card: fallback,
        })
    }
}

impl Record for Stage {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Stage" { purpose: &self.purpose, tasks: list(py, &self.tasks)? })
    }
}

impl Record for Plan {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let touched = self.scope.touched();
        let roles = touched.map(|id| (id, self.scope.role(id)));
        record!(py, "Plan" {
            request: self.request.record(py)?,
            roles: dict(py, roles, |role| Ok(role.to_string().into_pyobject(py)?.into_any()))?,
            stages: list(py, &self.stages)?,
        })
    }
}

impl Record for Selection {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "TensorEdit" {
            parameters: self.parameters,
            selected: self.selected,
            changed: self.changed,
            factor_sum: self.factor_sum,
        })
    }
}

impl Record for Trial {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Trial" {
            alpha: self.alpha,
            lambda_: self.lambda,
            forget: self.forget,
            retain: self.retain,
            forget_probability: self.forget_probability,
            selected: self.selected,
        })
    }
}

impl Record for LogitSuppression {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "LogitSuppression" {
            rows: self.rows.clone(),
            by: self.by,
            forget_before: self.forget_before,
            part: match self.part {
                HeadPart::Bias => "bias",
                HeadPart::Weight => "weight",
            },
        })
    }
}

impl Record for AlphaChoice {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "AlphaChoice" {
            alpha: self.alpha,
            lambda_: self.lambda,
            reached: self.reached,
            suppression: maybe(py, self.suppression.as_ref())?,
            forget_before: self.before.0,
            retain_before: self.before.1,
            curve: list(py, &self.curve)?,
        })
    }
}

impl Record for ModelOutcome {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Outcome" {
            before: self.before.to_string(),
            after: self.after.to_string(),
            role: self.role.to_string(),
            initial: texts(&self.initial),
            digest_before: self.digest_before.to_string(),
            digest_after: text(self.digest_after.as_ref()),
            alpha: self.alpha,
            lambda_: self.lambda,
            choice: maybe(py, self.choice.as_ref())?,
            tensors: dict(py, &self.tensors, |tensor| tensor.record(py))?,
            unmatched: &self.unmatched,
            fallback_card: text(self.fallback_card.as_ref()),
            seconds: self.seconds,
        })
    }
}

impl Record for Unlearned {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Unlearned" {
            request: self.request.as_str(),
            method: self.method.to_string(),
            operation: self.operation.map(|id| id.get()),
            models: list(py, &self.models)?,
            seconds: self.seconds,
            warnings: &self.warnings,
        })
    }
}

impl Record for Accuracy {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Accuracy" { train: self.train, heldout: self.heldout })
    }
}

impl Record for Scores {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Scores" { forget: self.forget.record(py)?, retain: self.retain.record(py)? })
    }
}

impl Record for CertifiedVerdict {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Verdict" {
            model: self.model.to_string(),
            scores: self.scores.record(py)?,
            at_most: self.at_most,
            passed: self.passed,
            judgement: match self.judgement() {
                Judgement::NotRecognised => "not_recognised",
                Judgement::Recognised => "recognised",
                Judgement::NotMeasured => "not_measured",
            },
        })
    }
}

fn with_digests(models: &[(ModelId, Digest)]) -> Vec<(String, String)> {
    let models = models.iter();
    models
        .map(|(id, digest)| (id.to_string(), digest.to_string()))
        .collect()
}

impl Record for Made {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let cards = self.cards.iter();
        record!(py, "Changes" {
            models: with_digests(&self.models),
            superseded: texts(&self.superseded),
            cards: cards.map(|card| (card.model.to_string(), card.estimator.clone())).collect::<Vec<_>>(),
            restored: texts(&self.restored),
            removed: texts(&self.removed),
            purged: texts(&self.purged),
        })
    }
}

impl Record for OperationRow {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Operation" {
            id: self.id.get(),
            time: self.time,
            actor: &self.actor,
            command: &self.command,
            detail: plain(py, &self.detail().map_err(crate::errors::raised)?)?,
            changes: self.made.record(py)?,
            previous: &self.previous,
            hash: &self.hash,
        })
    }
}

impl Record for Undone {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Undone" {
            operation: self.operation.get(),
            undone: self.undone.get(),
            removed: texts(&self.removed),
            restored: texts(&self.restored),
        })
    }
}

impl Record for Purged {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Purged" {
            operation: self.operation.map(|id| id.get()),
            models: with_digests(&self.models),
            cards: self.cards,
            objects: self.objects,
            bytes: self.bytes,
            shared: self.shared,
            features: self.features,
        })
    }
}

impl Record for Garbage {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Garbage" {
            objects: self.objects,
            bytes: self.bytes,
            files: self.files,
            drafts: self.drafts,
            young: self.young,
        })
    }
}

impl Record for Damage {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let repaired = self.repaired.as_deref();
        record!(py, "Damage" { what: &self.what, models: texts(&self.models), repaired: repaired })
    }
}

impl Record for Health {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Health" {
            models: self.models,
            cards: self.cards,
            operations: self.operations,
            objects: self.objects,
            bytes: self.bytes,
            garbage: self.garbage,
            damages: list(py, &self.damages)?,
        })
    }
}

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
