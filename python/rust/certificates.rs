//! Keys and certificates for Python.

use disinherit::certificate::{self, Envelope, KeyKind, PublicKey, SecretKey};
use disinherit::{EngineError, certificate::InToto};
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

/// The files of a certificate.
pub(crate) struct Issued {
    /// The certificate.
    pub(crate) certificate: String,
    /// The same in the words of in-toto: test result and summary.
    pub(crate) in_toto: Option<(String, String)>,
    /// What it says.
    pub(crate) checked: CheckedCertificate,
}

/// The texts of a certificate, and what it says.
pub(crate) fn issued(
    envelope: &Envelope,
    key: &SecretKey,
    in_toto: bool,
) -> Result<Issued, EngineError> {
    let certificate = format!("{}\n", envelope.to_json()?);
    let also = match in_toto {
        true => {
            let also = InToto::new(envelope, certificate.as_bytes(), key)?;
            let text =
                |envelope: &Envelope| Ok::<_, EngineError>(format!("{}\n", envelope.to_json()?));
            Some((text(&also.test_result)?, text(&also.summary)?))
        }
        false => None,
    };
    let public = key.public();
    Ok(Issued {
        certificate,
        in_toto: also,
        checked: CheckedCertificate {
            certificate: envelope.open(&public)?.predicate,
            key: public.id(),
            problems: None,
        },
    })
}
