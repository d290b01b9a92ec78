//! What work on requests is done with, by servers and by workers.

use std::sync::Arc;

use disinherit::Engine;
use disinherit::data::Splits;
use disinherit::nets::{Compute, OnnxRuntime};
use disinherit::progress::{Progress, Stop};
use disinherit::registry::Registry;
use disinherit_desk::{Bar, Desk, Workplace};

/// What work on requests is done with.
pub struct Equipment {
    /// The registry.
    pub registry: Arc<Registry>,
    /// What models are run and judged on, where there is some.
    pub data: Option<Splits>,
    /// Where networks run.
    pub compute: Compute,
    /// What computes the features of ONNX graphs, where it is not the program itself.
    pub onnx_runtime: Option<OnnxRuntime>,
    /// What models must reach when a job judges them.
    pub bar: Bar,
}

impl Equipment {
    /// Does something at the desk on this thread, as somebody.
    pub(crate) fn desk<T>(
        &self,
        actor: &str,
        progress: &dyn Progress,
        stop: &Arc<Stop>,
        work: impl FnOnce(&Desk<'_>, &Registry) -> T,
    ) -> T {
        let engine = self.engine(actor, progress, stop);
        work(&Desk::new(&engine), engine.registry())
    }
}

impl Workplace for Equipment {
    fn registry(&self) -> &Registry {
        &self.registry
    }

    fn engine<'a>(
        &'a self,
        actor: &str,
        progress: &'a dyn Progress,
        stop: &Arc<Stop>,
    ) -> Engine<'a> {
        Engine::new(self.registry.acting_for(actor))
            .with_data(self.data.as_ref())
            .with_compute(self.compute)
            .with_onnx_runtime(self.onnx_runtime)
            .with_progress(progress)
            .with_stop(Arc::clone(stop))
    }

    fn bar(&self) -> Bar {
        self.bar
    }
}
