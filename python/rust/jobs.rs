//! Jobs that a process of Python takes from the catalog, and has a cluster do parts of.

use std::sync::Arc;
use std::time::Duration;

use disinherit::Engine;
use disinherit::evaluation::CertifiedVerdict;
use disinherit::progress::{Progress, Stop};
use disinherit::registry::ErasureId;
use disinherit::umig::{ModelId, Shard};
use disinherit::{EngineError, registry};
use disinherit_desk::{Bar, Cluster, DeskError, JobEnd, JobNews, Until, Watch, Workplace};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

use crate::data_sets::Data;
use crate::desk::{Required, at};
use crate::engine;
use crate::errors::{DisinheritError, raised, refused};
use crate::registry::Registry;
use crate::results::{Record, list};

/// The run of a request that goes on, in so many shards.
#[pyfunction]
pub(crate) fn shards_of_run<'py>(
    py: Python<'py>,
    registry: &Registry,
    request: i64,
    data: Option<&Data>,
    of: u32,
) -> PyResult<Bound<'py, PyAny>> {
    let parts = at(py, &registry.shared(), data, None, |desk| {
        desk.shards(ErasureId::new(request), of)
    });
    Ok(list(py, &parts?)?.into_any())
}

/// Edits the models of one shard for a run that goes on elsewhere.
#[pyfunction]
pub(crate) fn run_shard<'py>(
    py: Python<'py>,
    registry: &Registry,
    request: i64,
    data: Option<&Data>,
    shard: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let shard: Shard = shard.parse().map_err(refused)?;
    let done = at(py, &registry.shared(), data, None, |desk| {
        desk.run_shard(ErasureId::new(request), shard)
    });
    done?.record(py)
}

/// The verdicts on models about what a request asks for, as a document that [`Worker`] reads.
#[pyfunction]
pub(crate) fn judge_models(
    py: Python<'_>,
    registry: &Registry,
    request: i64,
    data: Option<&Data>,
    models: Vec<String>,
    bar: Required,
) -> PyResult<Vec<u8>> {
    let bar = bar.read()?;
    let models = models.iter().map(|model| model.parse());
    let models: Vec<ModelId> = models.collect::<Result<_, _>>().map_err(refused)?;
    let verdicts = at(py, &registry.shared(), data, None, |desk| {
        desk.judge(ErasureId::new(request), &models, &bar)
    });
    serde_json::to_vec(&verdicts?).map_err(refused)
}

/// Takes jobs from the catalog: `disinherit_desk::Worker`, with a cluster that is an object of Python.
#[pyclass(frozen, module = "disinherit._disinherit")]
pub(crate) struct Worker {
    inner: Arc<disinherit_desk::Worker>,
}

#[pymethods]
impl Worker {
    /// A worker with data where there is some. `cluster` has `edit(request, watch)` and `judge(request, models, watch)`,
    /// which gives documents of [`judge_models`].
    #[new]
    fn new(
        registry: &Registry,
        data: Option<Py<Data>>,
        bar: Required,
        cluster: Py<PyAny>,
    ) -> PyResult<Self> {
        let place = Place {
            registry: registry.shared(),
            data,
            bar: bar.read()?,
            cluster: PythonCluster(cluster),
        };
        let inner = disinherit_desk::Worker::new(Arc::new(place));
        let inner = inner.map_err(|error| PyOSError::new_err(error.to_string()))?;
        Ok(Self { inner })
    }

    /// The name by which it takes jobs.
    #[getter]
    fn name(&self) -> &str {
        self.inner.name()
    }

    /// Takes jobs on this thread `until` it is told to stop (`told`), no job waits (`none_waits`) or one was worked on
    /// (`one`). `heard` is told of each: its number, request, kind and actor; and, when it has ended, how, and what it
    /// says.
    fn run(&self, py: Python<'_>, until: &str, heard: Py<PyAny>) -> PyResult<()> {
        let until = match until {
            "told" => Until::Told,
            "none_waits" => Until::NoneWaits,
            "one" => Until::One,
            other => return Err(refused(format!("a worker does not go on until `{other}`"))),
        };
        let tell = |news: JobNews| {
            Python::attach(|py| {
                if let Err(error) = hear(heard.bind(py), &news) {
                    // The job itself is on record.
                    error.write_unraisable(py, None);
                }
            });
        };
        let ended = py.detach(|| self.inner.run(until, tell));
        ended.map_err(raised)
    }

    /// Takes no job any more, and waits until the one that is worked on has ended, for so many seconds; then leaves it
    /// to the next worker.
    fn finish(&self, py: Python<'_>, patience: f64) -> PyResult<()> {
        let patience = Duration::try_from_secs_f64(patience).map_err(refused)?;
        py.detach(|| self.inner.finish(patience));
        Ok(())
    }
}

fn hear(heard: &Bound<'_, PyAny>, news: &JobNews) -> PyResult<()> {
    let (job, end) = match news {
        JobNews::Taken(job) => (job, None),
        JobNews::Ended(JobEnd { job, state, said }) => (job, Some((state.to_string(), said))),
    };
    let kind = job.kind.to_string();
    let told = (job.id, job.erasure.get(), kind, &job.actor, end);
    heard.call1(told).map(drop)
}

/// What such a worker works with.
struct Place {
    registry: Arc<registry::Registry>,
    data: Option<Py<Data>>,
    bar: Bar,
    cluster: PythonCluster,
}

impl Workplace for Place {
    fn registry(&self) -> &registry::Registry {
        &self.registry
    }

    fn engine<'a>(
        &'a self,
        actor: &str,
        progress: &'a dyn Progress,
        stop: &Arc<Stop>,
    ) -> Engine<'a> {
        let registry = Arc::new(self.registry.acting_for(actor));
        let data = self.data.as_ref().map(Py::get);
        engine::engine(&registry, data, progress).with_stop(Arc::clone(stop))
    }

    fn bar(&self) -> Bar {
        self.bar
    }

    fn cluster(&self) -> Option<&dyn Cluster> {
        Some(&self.cluster)
    }
}

/// A cluster that Python speaks to.
struct PythonCluster(Py<PyAny>);

impl PythonCluster {
    fn ask<T>(
        &self,
        watch: &Watch,
        call: impl FnOnce(&Bound<'_, PyAny>, JobWatch) -> PyResult<T>,
    ) -> Result<T, DeskError> {
        let told = JobWatch(watch.clone());
        Python::attach(|py| call(self.0.bind(py), told).map_err(|error| words(py, &error)))
            // Whatever it says of that, it was asked to stop.
            .map_err(|words| match watch.is_stopped() {
                true => EngineError::Stopped.into(),
                false => DeskError::Cluster(words),
            })
    }
}

impl Cluster for PythonCluster {
    fn edit(&self, request: ErasureId, watch: &Watch) -> Result<(), DeskError> {
        self.ask(watch, |object, watch| {
            object
                .call_method1("edit", (request.get(), watch))
                .map(drop)
        })
    }

    fn judge(
        &self,
        request: ErasureId,
        models: &[ModelId],
        watch: &Watch,
    ) -> Result<Vec<CertifiedVerdict>, DeskError> {
        let names: Vec<String> = models.iter().map(ToString::to_string).collect();
        let documents: Vec<Vec<u8>> = self.ask(watch, |object, watch| {
            object
                .call_method1("judge", (request.get(), names, watch))?
                .extract()
        })?;
        let mut verdicts = Vec::new();
        for document in documents {
            let read: Result<Vec<CertifiedVerdict>, _> = serde_json::from_slice(&document);
            let unread = |error| DeskError::Cluster(format!("verdicts cannot be read: {error}"));
            verdicts.extend(read.map_err(unread)?);
        }
        Ok(verdicts)
    }
}

/// An exception in words, for the record of a job.
fn words(py: Python<'_>, error: &PyErr) -> String {
    match error.is_instance_of::<DisinheritError>(py) {
        true => error.value(py).to_string(),
        false => error.to_string(),
    }
}

/// What a cluster hears of a job, and says of it.
#[pyclass(frozen, module = "disinherit._disinherit")]
pub(crate) struct JobWatch(Watch);

#[pymethods]
impl JobWatch {
    /// Whether the job is to stop.
    #[getter]
    fn stopped(&self) -> bool {
        self.0.is_stopped()
    }

    /// A stage begins, of so many steps.
    fn begin(&self, title: &str, total: u64) {
        self.0.begin(title, total);
    }

    /// So many of its steps are done.
    fn advance(&self, steps: u64) {
        self.0.advance(steps);
    }
}
