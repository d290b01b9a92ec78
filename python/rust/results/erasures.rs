//! Erasure requests: how far they have come, and whom they touch.

use disinherit::registry::{Asked, ErasurePlan, ErasureRequest, ErasureVerdict, Stamp};
use disinherit_desk::{ErasureScope, ScopeReason, ScopedModel, Unreached};
use pyo3::prelude::*;

use crate::results::record::{Record, list, maybe, record, text, texts};

impl Record for Asked {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (classes, source, samples) = match self {
            Self::Classes(classes) => (Some(texts(classes)), None, None),
            Self::Source(source) => (None, Some(source), None),
            Self::Samples(list) => (None, None, Some(list.count())),
        };
        record!(py, "ErasureSubject" { classes: classes, source: source, samples: samples })
    }
}

impl Record for Stamp {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Stamp" { by: &self.by, time: self.time, operation: self.operation.get() })
    }
}

impl Record for ErasurePlan {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "ErasurePlan" {
            initial: self.initial,
            inherited: self.inherited,
            retired: self.retired,
            method: self.method.to_string(),
            loss_bound: self.loss_bound.record(py)?,
        })
    }
}

impl Record for ErasureVerdict {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        // As verdicts on models say it.
        let word = |word: &Option<String>| word.as_ref().map(|word| word.replace(' ', "_"));
        record!(py, "ErasureVerdict" {
            passed: self.passed,
            judged: self.judged,
            recognised: self.recognised,
            judgement: word(&self.judgement),
            required: word(&self.required),
            not_judged: self.not_judged.as_ref(),
        })
    }
}

impl Record for ErasureRequest {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let published = self.published.iter();
        record!(py, "ErasureRequest" {
            id: self.id.get(),
            state: self.state.name(),
            asked: self.asked.record(py)?,
            initial: texts(&self.from),
            requester: self.requester.as_ref(),
            basis: self.basis.as_ref(),
            received: self.received,
            deadline: self.deadline,
            extended: self.extended.as_ref(),
            filed: self.filed.record(py)?,
            plan: maybe(py, self.plan.as_ref())?,
            approved: maybe(py, self.approved.as_ref())?,
            run: maybe(py, self.run.as_ref())?,
            published: published.map(|id| id.get()).collect::<Vec<_>>(),
            verdict: maybe(py, self.verdict.as_ref())?,
            certificate: text(self.certificate.as_ref()),
            reason: self.reason.as_ref(),
            last: self.last.record(py)?,
        })
    }
}

impl Record for ScopedModel {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (why, on, parent, relation) = match &self.reason {
            ScopeReason::Trained { on } => ("trained", Some(on), None, None),
            ScopeReason::SamplesUnknown { on } => ("samples_unknown", Some(on), None, None),
            ScopeReason::Named => ("named", None, None, None),
            ScopeReason::Inherited { from, relation } => {
                ("inherited", None, Some(from.to_string()), Some(relation))
            }
        };
        record!(py, "ScopedModel" {
            model: self.model.to_string(),
            digest: self.digest.to_string(),
            role: self.role.to_string(),
            why: why,
            on: on,
            parent: parent,
            relation: relation,
            retired: self.retired,
        })
    }
}

impl Record for Unreached {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (what, count, models) = match self {
            Self::Copies => ("copies", None, Vec::new()),
            Self::Backups => ("backups", None, Vec::new()),
            Self::NoRecord { count, models } => ("no_record", Some(*count), texts(models)),
        };
        record!(py, "Unreached" { what: what, count: count, models: models })
    }
}

impl Record for ErasureScope {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "ErasureScope" {
            asked: self.asked.record(py)?,
            initial: texts(&self.from),
            method: self.method.to_string(),
            models: list(py, &self.models)?,
            unreached: list(py, &self.unreached)?,
        })
    }
}
