//! Which operations concern an erasure request: its own steps, and what is done for it.

use crate::erasures::state::StepKind;
use crate::erasures::step::ErasureStep;
use crate::ids::{ErasureId, OperationId};
use crate::log::record::OperationRecord;

/// An operation, as far as it concerns an erasure request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Concern<'a> {
    /// A step of its own.
    Step(&'a ErasureStep),
    /// A run published its models.
    Unlearned {
        /// The operation by which the run began.
        started: OperationId,
    },
    /// The weights that remember were deleted.
    Purged,
    /// What an operation had published was taken back.
    Undone(OperationId),
}

/// The erasure request that an operation concerns, and how.
pub(crate) fn concern_of(record: &OperationRecord) -> Option<(ErasureId, Concern<'_>)> {
    match record {
        OperationRecord::Erasure(record) => Some((record.request, Concern::Step(&record.step))),
        OperationRecord::Unlearn(record) => record.erasure.map(|run| {
            let started = run.started;
            (run.request, Concern::Unlearned { started })
        }),
        OperationRecord::Purge(record) => record.erasure.map(|id| (id, Concern::Purged)),
        OperationRecord::Undo(record) => record
            .erasure
            .map(|id| (id, Concern::Undone(record.undoes))),
        _ => None,
    }
}

impl Concern<'_> {
    /// Its kind.
    pub(crate) fn kind(&self) -> StepKind {
        match self {
            Self::Unlearned { .. } => StepKind::Unlearn,
            Self::Purged | Self::Step(ErasureStep::Purge) => StepKind::Purge,
            Self::Undone(_) => StepKind::Undo,
            Self::Step(ErasureStep::New(_)) => StepKind::New,
            Self::Step(ErasureStep::Comment { .. }) => StepKind::Comment,
            Self::Step(ErasureStep::Plan(_)) => StepKind::Plan,
            Self::Step(ErasureStep::Approve { .. }) => StepKind::Approve,
            Self::Step(ErasureStep::Reject { .. }) => StepKind::Reject,
            Self::Step(ErasureStep::Extend { .. }) => StepKind::Extend,
            Self::Step(ErasureStep::Run { .. }) => StepKind::Run,
            Self::Step(ErasureStep::Fail { .. }) => StepKind::Fail,
            Self::Step(ErasureStep::Verify(verdict)) if verdict.passed => StepKind::Verify,
            Self::Step(ErasureStep::Verify(_)) => StepKind::Miss,
            Self::Step(ErasureStep::Certify { .. }) => StepKind::Certify,
            Self::Step(ErasureStep::Close) => StepKind::Close,
            Self::Step(ErasureStep::Cancel { run: true, .. }) => StepKind::Cancel,
            Self::Step(ErasureStep::Cancel { run: false, .. }) => StepKind::Withdraw,
        }
    }
}
