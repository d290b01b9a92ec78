//! Keys and certificates for Python.

use std::path::PathBuf;

use disinherit::EngineError;
use disinherit::certificate::{self, Envelope, KeyKind, PublicKey, SecretKey};
use pyo3::prelude::*;

use crate::errors::{raised, refused};
use crate::registry::Registry;
use crate::results::{CheckedCertificate, Record};

/// A new key: to sign with and to check with, both in PEM, and its id.
#[pyfunction]
pub(crate) fn new_key(kind: &str) -> PyResult<(String, String, String)> {
    let kind = match kind {
        "ed25519" => KeyKind::Ed25519,
        "p256" => KeyKind::P256,
        other => {
            return Err(refused(format!(
                "`kind` must be `ed25519` or `p256`, not `{other}`"
            )));
        }
    };
    let pem = || -> Result<_, EngineError> {
        let key = SecretKey::generate(kind)?;
        let public = key.public();
        Ok((key.to_pem()?, public.to_pem()?, public.id()))
    };
    pem().map_err(raised)
}

/// Signs the files of a model; returns where the signature is.
#[pyfunction]
pub(crate) fn sign_model(py: Python<'_>, path: PathBuf, key: &[u8]) -> PyResult<String> {
    let sign = || {
        let key = SecretKey::from_pem(&String::from_utf8_lossy(key))?;
        certificate::sign_model(&path, &key)
    };
    let place = py.detach(sign).map_err(raised)?;
    Ok(place.to_string_lossy().into_owned())
}

/// Reads a certificate that a key signed, and compares it with a registry where one is given.
#[pyfunction]
pub(crate) fn read_certificate<'py>(
    py: Python<'py>,
    certificate: &[u8],
    key: &[u8],
    registry: Option<&Registry>,
) -> PyResult<Bound<'py, PyAny>> {
    let read = || -> Result<CheckedCertificate, EngineError> {
        let key = PublicKey::from_pem(&String::from_utf8_lossy(key))?;
        let statement = Envelope::read(certificate)?.open(&key)?;
        let problems = match registry {
            Some(registry) => Some(certificate::compare(&statement, registry.engine())?),
            None => None,
        };
        Ok(CheckedCertificate {
            certificate: statement.predicate,
            key: key.id(),
            problems,
        })
    };
    py.detach(read).map_err(raised)?.record(py)
}
