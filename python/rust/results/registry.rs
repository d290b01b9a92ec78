//! The registry's log, and what its upkeep found.

use disinherit::registry::{
    Damage, Digest, Garbage, Gathered, Health, Made, OperationRow, Purged, Undone,
};
use disinherit::umig::ModelId;
use pyo3::prelude::*;

use crate::errors::raised;
use crate::results::record::{Record, list, plain, record, texts};

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
            detail: plain(py, &self.detail().map_err(raised)?)?,
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
            copies: self.copies,
            files: self.files,
            drafts: self.drafts,
            young: self.young,
        })
    }
}

impl Record for Gathered {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "Packed" {
            objects: self.objects,
            merged: self.merged,
            packs: self.packs,
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
