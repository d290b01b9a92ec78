//! A certificate as it is written, and what it says.

use disinherit::EngineError;
use disinherit::certificate::{Envelope, InToto, SecretKey};
use pyo3::prelude::*;

use crate::results::CheckedCertificate;

/// The files of a certificate.
pub(crate) struct Issued {
    /// The certificate.
    pub(crate) certificate: String,
    /// The same in the words of in-toto: test result and summary.
    pub(crate) in_toto: Option<(String, String)>,
    /// What it says.
    pub(crate) checked: CheckedCertificate,
}

impl Issued {
    /// The texts of its files, and what it says.
    pub(crate) fn given(self, py: Python<'_>) -> PyResult<(Vec<String>, Bound<'_, PyAny>)> {
        let mut texts = vec![self.certificate];
        if let Some((test_result, summary)) = self.in_toto {
            texts.extend([test_result, summary]);
        }
        Ok((texts, self.checked.certificate(py)?))
    }
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
