//! The step that an erasure request needs next, as a command.

use disinherit::registry::ErasureState;

/// The step that a request needs in a state.
pub(crate) fn step_after(state: ErasureState) -> Option<&'static str> {
    Some(match state {
        ErasureState::Received => "plan ID",
        ErasureState::Planned => "approve ID",
        ErasureState::Approved | ErasureState::Failed | ErasureState::Cancelled => "run ID",
        ErasureState::Running => "verify ID --data PATH",
        ErasureState::Verified => "certify ID --key FILE",
        ErasureState::Certified => "purge ID",
        ErasureState::Purged => "close ID",
        ErasureState::Closed | ErasureState::Rejected => return None,
    })
}
