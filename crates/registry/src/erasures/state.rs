//! The states of an erasure request, and which step leads from which to which.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How far an erasure request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErasureState {
    /// It was filed.
    Received,
    /// The models that it touches are on record, and by which method they are edited.
    Planned,
    /// It may be run.
    Approved,
    /// It is being run, or was run and is to be verified.
    Running,
    /// What the new models still recognise was judged, and is little enough.
    Verified,
    /// The certificate is signed.
    Certified,
    /// The weights that remember are deleted.
    Purged,
    /// Nothing is left to do.
    Closed,
    /// It was turned down, with a reason.
    Rejected,
    /// A run or a verification did not succeed, with a reason. It can go on.
    Failed,
    /// A run was stopped by somebody, who is on record. It can go on.
    Cancelled,
}

impl ErasureState {
    /// All states, in the order of a request's life.
    pub const ALL: [Self; 11] = [
        Self::Received,
        Self::Planned,
        Self::Approved,
        Self::Running,
        Self::Verified,
        Self::Certified,
        Self::Purged,
        Self::Closed,
        Self::Rejected,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The states in which the deadline still matters.
    pub fn open() -> Vec<Self> {
        let all = Self::ALL.into_iter();
        all.filter(|state| state.is_open()).collect()
    }

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Planned => "planned",
            Self::Approved => "approved",
            Self::Running => "running",
            Self::Verified => "verified",
            Self::Certified => "certified",
            Self::Purged => "purged",
            Self::Closed => "closed",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the deadline still matters: something is left to do for the person who asked.
    pub fn is_open(self) -> bool {
        !matches!(self, Self::Purged | Self::Closed | Self::Rejected)
    }

    /// Whether some states are exactly those that are open.
    pub(crate) fn is_every_open(states: &[Self]) -> bool {
        Self::ALL
            .iter()
            .all(|state| states.contains(state) == state.is_open())
    }

    /// Where a step leads from here; nothing where it is not legal here.
    pub fn after(self, step: StepKind) -> Option<Self> {
        step.legal_from().contains(&self).then_some(match step {
            StepKind::New => Self::Received,
            StepKind::Comment | StepKind::Extend | StepKind::Withdraw => self,
            StepKind::Plan => Self::Planned,
            StepKind::Approve => Self::Approved,
            StepKind::Reject => Self::Rejected,
            StepKind::Run | StepKind::Unlearn => Self::Running,
            StepKind::Fail | StepKind::Undo | StepKind::Miss => Self::Failed,
            StepKind::Verify => Self::Verified,
            StepKind::Certify => Self::Certified,
            StepKind::Purge => Self::Purged,
            StepKind::Close => Self::Closed,
            StepKind::Cancel => Self::Cancelled,
        })
    }
}

impl fmt::Display for ErasureState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ErasureState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|state| state.name() == text);
        known.ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|state| state.name()).collect();
            format!("`{text}` is no state of a request: {}", names.join(", "))
        })
    }
}

/// What can happen to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StepKind {
    /// It is filed.
    New,
    /// Somebody says something about it.
    Comment,
    /// The models that it touches are put on record.
    Plan,
    /// It is approved.
    Approve,
    /// It is turned down.
    Reject,
    /// It gets another deadline.
    Extend,
    /// A run begins.
    Run,
    /// The run's new models are published.
    Unlearn,
    /// A run ends without that.
    Fail,
    /// The new models are judged, and have forgotten.
    Verify,
    /// The new models are judged, and have not forgotten.
    Miss,
    /// The certificate is signed.
    Certify,
    /// The weights that remember are deleted.
    Purge,
    /// It is closed.
    Close,
    /// What a run published is taken back.
    Undo,
    /// A run that goes on is stopped.
    Cancel,
    /// A job is stopped that waits, or that has changed nothing yet.
    Withdraw,
}

impl StepKind {
    /// All kinds.
    pub const ALL: [Self; 17] = [
        Self::New,
        Self::Comment,
        Self::Plan,
        Self::Approve,
        Self::Reject,
        Self::Extend,
        Self::Run,
        Self::Unlearn,
        Self::Fail,
        Self::Verify,
        Self::Miss,
        Self::Certify,
        Self::Purge,
        Self::Close,
        Self::Undo,
        Self::Cancel,
        Self::Withdraw,
    ];

    /// What is done to the request, as in "it cannot be ...".
    pub fn participle(self) -> &'static str {
        match self {
            Self::New => "filed",
            Self::Comment => "commented",
            Self::Plan => "planned",
            Self::Approve => "approved",
            Self::Reject => "rejected",
            Self::Extend => "extended",
            Self::Run | Self::Unlearn => "run",
            Self::Fail => "stopped",
            Self::Verify | Self::Miss => "verified",
            Self::Certify => "certified",
            Self::Purge => "purged",
            Self::Close => "closed",
            Self::Undo => "undone",
            Self::Cancel | Self::Withdraw => "cancelled",
        }
    }

    /// The states in which it is legal. [`StepKind::New`] has none: it makes the request.
    pub fn legal_from(self) -> &'static [ErasureState] {
        use ErasureState::{
            Approved, Cancelled, Certified, Failed, Planned, Purged, Received, Running, Verified,
        };
        match self {
            Self::New => &[],
            Self::Comment => &ErasureState::ALL,
            Self::Plan | Self::Reject => &[Received, Planned, Approved, Failed, Cancelled],
            Self::Approve => &[Planned],
            Self::Extend => &[
                Received, Planned, Approved, Running, Verified, Certified, Failed, Cancelled,
            ],
            // A run that is stopped without a word is taken over: see the lease.
            Self::Run => &[Approved, Failed, Cancelled, Running],
            Self::Unlearn | Self::Fail | Self::Cancel => &[Running],
            Self::Verify | Self::Miss => &[Running, Failed, Cancelled, Verified],
            Self::Certify => &[Verified, Certified],
            Self::Purge => &[Certified],
            Self::Close => &[Purged],
            Self::Undo => &[Running, Failed, Cancelled, Verified, Certified],
            Self::Withdraw => &[Approved, Running, Failed, Cancelled, Verified],
        }
    }
}
