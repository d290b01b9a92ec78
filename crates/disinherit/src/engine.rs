//! The context that everything the engine does happens in.

use std::sync::{Arc, Mutex};

use disinherit_data::Splits;
use disinherit_nets::{Compute, OnnxRuntime};
use disinherit_registry::{Location, Registry};

use crate::error::EngineError;
use crate::feature_memory::Memory;
use crate::progress::{Progress, Silent, Stop};
use crate::runner::Runner;

/// The default bound of the cache of features on disk, in bytes.
pub const FEATURE_CACHE: u64 = 2 << 30;

/// Threads that work on a registry on shared storage.
const WAITING: usize = 64;

/// A registry with what requests are answered by: data, a device, a place to show progress.
///
/// ```
/// use disinherit::{Engine, registry::Registry};
///
/// let engine = Engine::new(Registry::in_memory()?);
/// assert!(engine.registry().graph()?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Engine<'a> {
    registry: Arc<Registry>,
    data: Option<&'a Splits>,
    runner: Option<&'a dyn Runner>,
    progress: &'a dyn Progress,
    stop: Arc<Stop>,
    compute: Compute,
    onnx_runtime: Option<OnnxRuntime>,
    feature_cache: u64,
    memory: Arc<Mutex<Memory>>,
}

impl<'a> Engine<'a> {
    /// The engine over a registry, without data.
    pub fn new(registry: impl Into<Arc<Registry>>) -> Self {
        Self {
            registry: registry.into(),
            data: None,
            runner: None,
            progress: &Silent,
            stop: Arc::default(),
            compute: Compute::default(),
            onnx_runtime: None,
            feature_cache: FEATURE_CACHE,
            memory: Arc::default(),
        }
    }

    /// The engine over the registry at a place: a folder or a URL.
    ///
    /// # Errors
    /// [`EngineError`] when there is no registry, or it cannot be opened.
    pub fn open(place: &str) -> Result<Self, EngineError> {
        let place = Location::parse(place)?;
        Ok(Self::new(Registry::open_at(&place)?))
    }

    /// With training and held-out data.
    #[must_use]
    pub fn with_data(mut self, data: impl Into<Option<&'a Splits>>) -> Self {
        self.data = data.into();
        self
    }

    /// With something that shows how long work goes on.
    #[must_use]
    pub fn with_progress(mut self, progress: &'a dyn Progress) -> Self {
        self.progress = progress;
        self
    }

    /// With something that asks long work to stop.
    #[must_use]
    pub fn with_stop(mut self, stop: Arc<Stop>) -> Self {
        self.stop = stop;
        self
    }

    /// With a device that networks run on.
    #[must_use]
    pub fn with_compute(mut self, compute: Compute) -> Self {
        self.compute = compute;
        self
    }

    /// With ONNX Runtime in place of the program's own engine wherever the features of an ONNX graph are computed.
    #[must_use]
    pub fn with_onnx_runtime(mut self, runtime: impl Into<Option<OnnxRuntime>>) -> Self {
        self.onnx_runtime = runtime.into();
        self
    }

    /// With something that runs networks on external samples.
    #[must_use]
    pub fn with_runner(mut self, runner: Option<&'a dyn Runner>) -> Self {
        self.runner = runner;
        self
    }

    /// With another bound of the cache of features on disk, in bytes, 0 for none; and with none in
    /// memory yet.
    #[must_use]
    pub fn with_feature_cache(mut self, bytes: u64) -> Self {
        self.feature_cache = bytes;
        self.memory = Arc::default();
        self
    }

    /// The registry.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The registry, to be shared.
    pub(crate) fn shared_registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry)
    }

    /// The data, where there is some.
    pub fn data(&self) -> Option<&'a Splits> {
        self.data
    }

    /// What runs networks on external samples.
    pub fn runner(&self) -> Option<&'a dyn Runner> {
        self.runner
    }

    /// What shows how work goes on.
    pub fn progress(&self) -> &'a dyn Progress {
        self.progress
    }

    /// What asks long work to stop.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Goes on, unless it was asked to stop.
    pub(crate) fn go_on(&self) -> Result<(), EngineError> {
        match self.stop.is_asked() {
            true => Err(EngineError::Stopped),
            false => Ok(()),
        }
    }

    /// Where networks run.
    pub fn compute(&self) -> Compute {
        self.compute
    }

    /// What computes the features of ONNX graphs, where it is not the program itself.
    pub fn onnx_runtime(&self) -> Option<OnnxRuntime> {
        self.onnx_runtime
    }

    /// Threads for work on many models that reads or writes the registry: as many as asked for, else one for
    /// each core, and several where the registry is on shared storage, since each waits for answers most of
    /// the time.
    pub(crate) fn jobs(&self, asked: usize) -> usize {
        match asked {
            0 if self.registry.is_remote() => WAITING,
            _ => asked,
        }
    }

    /// Features in memory, which all that the engine does share.
    pub(crate) fn memory(&self) -> Arc<Mutex<Memory>> {
        Arc::clone(&self.memory)
    }

    /// The bound of the cache of features on disk, in bytes.
    pub(crate) fn feature_cache(&self) -> u64 {
        self.feature_cache
    }
}
