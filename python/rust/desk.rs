//! The desk for erasure requests, for Python: thin, over `disinherit-desk`.

use std::path::PathBuf;
use std::sync::Arc;

use disinherit::certificate::SecretKey;
use disinherit::evaluation::{Depth, Judgement};
use disinherit::model::now;
use disinherit::registry::{
    ErasureId, ErasureOrder, ErasurePage, ErasureState, ErasureStep, LossBound, months_after,
};
use disinherit_audit::{AuditError, Bundle, BundleOptions};
use disinherit_desk::{Bar, DeskError, Filed, LAST_EXTENSION, Terms};
use pyo3::exceptions::{PyFileExistsError, PyOSError};
use pyo3::prelude::*;

use crate::arguments::Asked;
use crate::data_sets::Data;
use crate::engine;
use crate::errors::{at_desk, raised, refused};
use crate::issued::issued;
use crate::progress::Shown;
use crate::registry::Registry;
use crate::results::{Record, list};

/// What is said of a new request: `disinherit._arguments.Filing`.
#[derive(FromPyObject)]
pub(crate) struct Filing {
    requester: Option<String>,
    basis: Option<String>,
    received: Option<u64>,
    deadline: Option<u64>,
}

/// How a request is to be carried out: `disinherit._arguments.Terms`.
#[derive(FromPyObject)]
pub(crate) struct Planning {
    method: Option<String>,
    target_loss: f64,
    accept_loss: Option<f64>,
}

impl Planning {
    fn read(&self) -> PyResult<Terms> {
        let method = self.method.as_deref().map(str::parse).transpose();
        Ok(Terms {
            method: method.map_err(refused)?,
            loss: LossBound {
                target: self.target_loss,
                accepted: self.accept_loss,
            },
        })
    }
}

/// Which requests are listed: `disinherit._arguments.Listing`.
#[derive(FromPyObject)]
pub(crate) struct Listing {
    states: Option<Vec<String>>,
    due_within: Option<u64>,
    newest: bool,
    limit: u32,
    after: Option<i64>,
}

impl Listing {
    fn page(&self) -> PyResult<ErasurePage> {
        let states = match &self.states {
            Some(names) => {
                let states = names.iter().map(|name| name.parse());
                states
                    .collect::<Result<Vec<ErasureState>, _>>()
                    .map_err(refused)?
            }
            None => ErasureState::open(),
        };
        Ok(ErasurePage {
            after: self.after.map(ErasureId::new),
            limit: self.limit,
            states,
            due_before: self.due_within.map(|length| now().saturating_add(length)),
            order: match self.newest {
                true => ErasureOrder::Newest,
                false => ErasureOrder::Deadline,
            },
        })
    }
}

/// What models must reach: `disinherit._arguments.Bar`.
#[derive(FromPyObject)]
pub(crate) struct Required {
    at_most: f64,
    deep: bool,
    require: Option<String>,
}

impl Required {
    pub(crate) fn read(&self) -> PyResult<Bar> {
        let required = match self.require.as_deref() {
            None => None,
            Some("outputs") => Some(Judgement::Outputs),
            Some("features") => Some(Judgement::Features),
            Some("indistinguishable") => Some(Judgement::Indistinguishable),
            Some(other) => {
                return Err(refused(format!(
                    "`require` must be `outputs`, `features` or `indistinguishable`, not `{other}`"
                )));
            }
        };
        let inside = required.is_some_and(|word| word != Judgement::Outputs);
        Ok(Bar {
            depth: if self.deep || inside {
                Depth::FULL
            } else {
                Depth::OUTPUTS
            },
            required,
            at_most: self.at_most,
        })
    }
}

/// The desk of a registry.
#[pyclass(frozen, module = "disinherit._disinherit")]
pub(crate) struct Desk {
    registry: Arc<disinherit::registry::Registry>,
}

/// Does something at the desk of a registry, with data where there is some.
pub(crate) fn at<T: Send>(
    py: Python<'_>,
    registry: &Arc<disinherit::registry::Registry>,
    data: Option<&Data>,
    progress: Option<Py<PyAny>>,
    work: impl FnOnce(disinherit_desk::Desk<'_>) -> Result<T, DeskError> + Send,
) -> PyResult<T> {
    let shown = Shown(progress);
    let done = py.detach(|| {
        let engine = engine::engine(registry, data, &shown);
        work(disinherit_desk::Desk::new(&engine))
    });
    done.map_err(at_desk)
}

impl Desk {
    fn at<T: Send>(
        &self,
        py: Python<'_>,
        data: Option<&Data>,
        progress: Option<Py<PyAny>>,
        work: impl FnOnce(disinherit_desk::Desk<'_>) -> Result<T, DeskError> + Send,
    ) -> PyResult<T> {
        at(py, &self.registry, data, progress, work)
    }

    /// Takes a step that needs no engine.
    fn step<'py>(
        &self,
        py: Python<'py>,
        request: i64,
        step: ErasureStep,
    ) -> PyResult<Bound<'py, PyAny>> {
        let taken = py.detach(|| {
            self.registry
                .step_erasure(ErasureId::new(request), step, None)
        });
        taken.map_err(raised)?.record(py)
    }
}

#[pymethods]
impl Desk {
    /// The desk of a registry.
    #[new]
    fn new(registry: &Registry) -> Self {
        Self {
            registry: registry.shared(),
        }
    }

    /// Files a request.
    fn file<'py>(
        &self,
        py: Python<'py>,
        asked: Asked,
        filing: Filing,
    ) -> PyResult<Bound<'py, PyAny>> {
        let filed = self.at(py, None, None, |desk| {
            let request = engine::request(&self.registry, &asked)?;
            desk.file(Filed {
                requester: filing.requester,
                basis: filing.basis,
                received: filing.received,
                deadline: filing.deadline,
                ..Filed::new(request)
            })
        });
        filed?.record(py)
    }

    /// Whom a request would touch; nothing is filed.
    fn preview<'py>(
        &self,
        py: Python<'py>,
        asked: Asked,
        terms: Planning,
    ) -> PyResult<Bound<'py, PyAny>> {
        let terms = terms.read()?;
        let scope = self.at(py, None, None, |desk| {
            desk.preview(&engine::request(&self.registry, &asked)?, &terms)
        });
        scope?.record(py)
    }

    /// Some requests.
    fn list<'py>(&self, py: Python<'py>, listing: Listing) -> PyResult<Bound<'py, PyAny>> {
        let page = listing.page()?;
        let found = py
            .detach(|| self.registry.erasures(&page))
            .map_err(raised)?;
        Ok(list(py, &found)?.into_any())
    }

    /// A request.
    fn show<'py>(&self, py: Python<'py>, request: i64) -> PyResult<Bound<'py, PyAny>> {
        let found = py.detach(|| self.registry.erasure(ErasureId::new(request)));
        found.map_err(raised)?.record(py)
    }

    /// The operations that concern a request, oldest first.
    fn history<'py>(&self, py: Python<'py>, request: i64) -> PyResult<Bound<'py, PyAny>> {
        let read = || {
            let id = self.registry.erasure(ErasureId::new(request))?.id;
            self.registry.erasure_history(id)
        };
        let rows = py.detach(read).map_err(raised)?;
        Ok(list(py, &rows)?.into_any())
    }

    /// The scope that a request's plan put on record.
    fn scope<'py>(&self, py: Python<'py>, request: i64) -> PyResult<Option<Bound<'py, PyAny>>> {
        let scope = self.at(py, None, None, |desk| {
            let erasure = self.registry.erasure(ErasureId::new(request))?;
            erasure.plan.map(|plan| desk.scope(&plan)).transpose()
        });
        scope?.map(|scope| scope.record(py)).transpose()
    }

    /// The verdicts that are on record for a request.
    fn verdicts<'py>(&self, py: Python<'py>, request: i64) -> PyResult<Bound<'py, PyAny>> {
        let verdicts = self.at(py, None, None, |desk| {
            let erasure = self.registry.erasure(ErasureId::new(request))?;
            let read = erasure.verdict.map(|verdict| desk.verdicts(&verdict));
            Ok(read.transpose()?.unwrap_or_default())
        });
        Ok(list(py, &verdicts?)?.into_any())
    }

    /// The certificate of a request, as it was written.
    fn certificate(&self, py: Python<'_>, request: i64) -> PyResult<Option<Vec<u8>>> {
        self.at(py, None, None, |desk| {
            desk.certificate(&self.registry.erasure(ErasureId::new(request))?)
        })
    }

    /// Writes what an auditor takes along; the names of its files.
    fn bundle(
        &self,
        py: Python<'_>,
        request: i64,
        path: PathBuf,
        whole_chain: bool,
    ) -> PyResult<Vec<String>> {
        let shown = Shown(None);
        let made = py.detach(|| {
            let engine = engine::engine(&self.registry, None, &shown);
            let desk = disinherit_desk::Desk::new(&engine);
            let options = BundleOptions { whole_chain };
            let bundle = Bundle::new(&desk, ErasureId::new(request), options)?;
            bundle.save(&path)?;
            Ok(bundle.names().map(str::to_owned).collect())
        });
        made.map_err(|error| match error {
            AuditError::Desk(error) => at_desk(error),
            error @ AuditError::Exists(_) => PyFileExistsError::new_err(error.to_string()),
            AuditError::Io { .. } => PyOSError::new_err(error.to_string()),
            other => refused(other),
        })
    }

    /// Says something about a request.
    fn comment<'py>(
        &self,
        py: Python<'py>,
        request: i64,
        text: String,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.step(py, request, ErasureStep::Comment { text })
    }

    /// Puts on record what a run will do.
    fn plan<'py>(
        &self,
        py: Python<'py>,
        request: i64,
        terms: Planning,
    ) -> PyResult<Bound<'py, PyAny>> {
        let terms = terms.read()?;
        let planned = self.at(py, None, None, |desk| {
            desk.plan(ErasureId::new(request), &terms)
        });
        planned?.record(py)
    }

    /// Approves a request.
    fn approve<'py>(&self, py: Python<'py>, request: i64) -> PyResult<Bound<'py, PyAny>> {
        // Whether four eyes are asked for is the registry's to say, in the transaction that takes the step.
        self.step(py, request, ErasureStep::Approve { four_eyes: false })
    }

    /// Turns a request down.
    fn reject<'py>(
        &self,
        py: Python<'py>,
        request: i64,
        reason: String,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.step(py, request, ErasureStep::Reject { reason })
    }

    /// Gives a request a later deadline; three months after its arrival where none is given.
    fn extend<'py>(
        &self,
        py: Python<'py>,
        request: i64,
        reason: String,
        deadline: Option<u64>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let deadline = match deadline {
            Some(deadline) => deadline,
            None => {
                let found = py.detach(|| self.registry.erasure(ErasureId::new(request)));
                months_after(found.map_err(raised)?.received, LAST_EXTENSION)
            }
        };
        self.step(py, request, ErasureStep::Extend { deadline, reason })
    }

    /// Edits the models of a request as planned, and publishes the new versions.
    fn run<'py>(
        &self,
        py: Python<'py>,
        request: i64,
        data: Option<&Data>,
        take_over: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let done = self.at(py, data, progress, |desk| {
            desk.run(ErasureId::new(request), take_over)
        });
        done?.unlearned.record(py)
    }

    /// Judges the new versions of a request.
    fn verify<'py>(
        &self,
        py: Python<'py>,
        request: i64,
        data: &Data,
        bar: Required,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let bar = bar.read()?;
        let judged = self.at(py, Some(data), progress, |desk| {
            desk.verify(ErasureId::new(request), &bar)
        });
        Ok(list(py, &judged?.1)?.into_any())
    }

    /// Takes a request as verified though nothing was judged, with the reason.
    fn leave_unjudged<'py>(
        &self,
        py: Python<'py>,
        request: i64,
        reason: String,
    ) -> PyResult<Bound<'py, PyAny>> {
        let left = self.at(py, None, None, |desk| {
            desk.leave_unjudged(ErasureId::new(request), reason)
        });
        left?.record(py)
    }

    /// Signs the certificate of a request; its texts as `Registry.certify` gives them.
    fn certify<'py>(
        &self,
        py: Python<'py>,
        request: i64,
        key: &[u8],
        in_toto: bool,
    ) -> PyResult<(Vec<String>, Bound<'py, PyAny>)> {
        let made = self.at(py, None, None, |desk| {
            let key = SecretKey::from_pem(&String::from_utf8_lossy(key))?;
            let (_, envelope) = desk.certify(ErasureId::new(request), &key)?;
            Ok(issued(&envelope, &key, in_toto)?)
        })?;
        made.given(py)
    }

    /// Deletes for good what the versions remember that a request replaced or retired.
    fn purge<'py>(
        &self,
        py: Python<'py>,
        request: i64,
        reason: Option<String>,
        dry_run: bool,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let purged = self.at(py, None, None, |desk| {
            desk.purge(ErasureId::new(request), reason, dry_run)
        });
        purged?.map(|purged| purged.record(py)).transpose()
    }

    /// Ends a request that is purged.
    fn close<'py>(&self, py: Python<'py>, request: i64) -> PyResult<Bound<'py, PyAny>> {
        self.step(py, request, ErasureStep::Close)
    }

    /// Whether somebody else than who filed a request must approve it.
    fn four_eyes(&self, py: Python<'_>) -> PyResult<bool> {
        py.detach(|| self.registry.asks_for_four_eyes())
            .map_err(raised)
    }

    /// Says whether somebody else must, from now on.
    fn set_four_eyes(&self, py: Python<'_>, asked: bool) -> PyResult<()> {
        py.detach(|| self.registry.set_four_eyes(asked))
            .map_err(raised)
    }
}
