//! What jobs are worked on with.

use std::sync::Arc;

use disinherit::Engine;
use disinherit::evaluation::CertifiedVerdict;
use disinherit::progress::{Progress, Stop};
use disinherit::registry::{ErasureId, Registry};
use disinherit::umig::ModelId;

use crate::error::DeskError;
use crate::jobs::stages::Stages;
use crate::verify::Bar;

/// What a worker works with.
pub trait Workplace: Send + Sync {
    /// The registry whose jobs are taken.
    fn registry(&self) -> &Registry;

    /// The engine for somebody, with data where there is some.
    fn engine<'a>(
        &'a self,
        actor: &str,
        progress: &'a dyn Progress,
        stop: &Arc<Stop>,
    ) -> Engine<'a>;

    /// What models must reach when a job judges them.
    fn bar(&self) -> Bar;

    /// Who executes parts of jobs, where the worker does not do everything itself.
    fn cluster(&self) -> Option<&dyn Cluster> {
        None
    }
}

/// Machines that execute parts of jobs. Whatever they do, the worker takes the steps: a run is published by it,
/// in one transaction, and verdicts are put on record by it.
pub trait Cluster: Send + Sync {
    /// Edits the models of a request that is being run ([`Desk::run_shard`](crate::Desk::run_shard)). What is not
    /// edited in the end, the worker edits.
    ///
    /// # Errors
    /// [`DeskError`]; the run fails then, and what was finished is kept.
    fn edit(&self, request: ErasureId, watch: &Watch) -> Result<(), DeskError>;

    /// The verdicts on models ([`Desk::judge`](crate::Desk::judge)), in their order.
    ///
    /// # Errors
    /// [`DeskError`]; nothing is put on record then.
    fn judge(
        &self,
        request: ErasureId,
        models: &[ModelId],
        watch: &Watch,
    ) -> Result<Vec<CertifiedVerdict>, DeskError>;
}

/// What a cluster hears of a job, and says of it.
#[derive(Debug, Clone)]
pub struct Watch {
    stages: Arc<Stages>,
    stop: Arc<Stop>,
}

impl Watch {
    pub(super) fn new(stages: &Arc<Stages>, stop: &Arc<Stop>) -> Self {
        Self {
            stages: Arc::clone(stages),
            stop: Arc::clone(stop),
        }
    }

    /// Whether the job is to stop: it was cancelled, or its worker leaves.
    pub fn is_stopped(&self) -> bool {
        self.stop.is_asked()
    }

    /// A stage begins, of so many steps.
    pub fn begin(&self, title: &str, total: u64) {
        self.stages.begin(title, total);
    }

    /// So many of its steps are done.
    pub fn advance(&self, steps: u64) {
        self.stages.add(steps);
    }
}
