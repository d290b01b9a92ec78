//! Why a step of an erasure request is not taken.

use std::fmt;

use crate::erasures::state::{ErasureState, StepKind};
use crate::ids::OperationId;

/// Why a step is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErasureRefusal {
    /// The request is in a state in which it is not legal.
    State {
        /// The state.
        state: ErasureState,
        /// The step.
        step: StepKind,
    },
    /// Who files a request does not approve it, in a registry that wants four eyes.
    FourEyes {
        /// Who filed it.
        filed_by: String,
    },
    /// Somebody runs it.
    Claimed {
        /// Who.
        by: String,
        /// Until when, in milliseconds since 1970-01-01 UTC, if nothing is heard meanwhile.
        until: u64,
    },
    /// Its run was taken over, or ended, by another operation.
    TakenOver,
    /// Nothing has been published for it yet that could be judged.
    NotRun,
    /// It was published already: what is left to do is to verify it.
    Published {
        /// The operation.
        operation: OperationId,
    },
    /// It is not what the caller has seen any more.
    Changed {
        /// The operation that changed it.
        by: OperationId,
    },
    /// A text that cannot be kept.
    Text {
        /// Which.
        what: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There is nothing that could be cancelled: no run goes on, and no job waits or is worked on.
    Idle,
    /// A deadline that is no later than the one that there is, or than the request's arrival.
    Deadline,
}

impl fmt::Display for ErasureRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State { state, step } => {
                let from = step.legal_from();
                let names: Vec<&str> = from.iter().map(|state| state.name()).collect();
                write!(f, "it is {state}; it must be {}", one_of(&names))
            }
            Self::FourEyes { filed_by } => write!(
                f,
                "`{filed_by}` filed it, and this registry asks for the approval of somebody else"
            ),
            Self::Claimed { by, .. } => write!(f, "`{by}` runs it at this moment"),
            Self::TakenOver => f.write_str("its run was stopped or taken over meanwhile"),
            Self::NotRun => f.write_str("it has not been run yet"),
            Self::Published { operation } => write!(
                f,
                "its models were published already, by operation {operation}"
            ),
            Self::Changed { by } => write!(f, "operation {by} has changed it meanwhile"),
            Self::Text { what, reason } => write!(f, "the {what} {reason}"),
            Self::Idle => f.write_str("no run of it goes on, and no job of it waits"),
            Self::Deadline => {
                f.write_str("a deadline must be later than the one before, and than its arrival")
            }
        }
    }
}

/// Words with commas and an `or` between them.
fn one_of(words: &[&str]) -> String {
    match words {
        [] => "new".to_owned(),
        [one] => (*one).to_owned(),
        [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}
