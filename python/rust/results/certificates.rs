//! Certificates, read.

use disinherit::certificate::{Certificate, CertifiedModel, LogPosition};
use disinherit::registry::LossCheck;
use pyo3::prelude::*;

use crate::results::record::{Record, list, maybe, plain, record};

impl Record for LogPosition {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "LogPosition" {
            operation: self.operation.get(),
            hash: &self.hash,
            last: self.last.get(),
            last_hash: &self.last_hash,
        })
    }
}

impl Record for CertifiedModel {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "CertifiedModel" {
            before: self.before.to_string(),
            after: self.after.to_string(),
            digest_before: self.digest_before.to_string(),
            digest_after: self.digest_after.to_string(),
            role: self.role.to_string(),
            parameters: plain(py, &self.parameters)?,
            changed: self.changed,
            loss: maybe(py, self.loss.as_ref().and_then(LossCheck::measured))?,
        })
    }
}

/// A certificate whose signature fits a key.
pub(crate) struct CheckedCertificate {
    pub(crate) certificate: Certificate,
    /// The key's id.
    pub(crate) key: String,
    /// How a registry differs, where it was compared with one.
    pub(crate) problems: Option<Vec<String>>,
}

impl CheckedCertificate {
    /// The certificate alone.
    pub(crate) fn certificate<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let certificate = &self.certificate;
        record!(py, "Certificate" {
            request: certificate.request.as_str(),
            asked: certificate.asked.record(py)?,
            actor: &certificate.actor,
            time: certificate.time,
            method: certificate.method.to_string(),
            models: list(py, &certificate.models)?,
            retired: list(py, &certificate.retired)?,
            loss_bound: maybe(py, certificate.loss_bound.as_ref())?,
            warnings: &certificate.warnings,
            verdicts: list(py, &certificate.verdicts)?,
            log: certificate.log.record(py)?,
            tool: &certificate.tool,
            issued: certificate.issued,
            key: &self.key,
        })
    }
}

impl Record for CheckedCertificate {
    fn record<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        record!(py, "CertificateCheck" {
            certificate: self.certificate(py)?,
            problems: self.problems.clone(),
        })
    }
}
