//! Requests in words.

use disinherit::registry::ErasureState;
use maud::{Markup, html};

use crate::when::time;

/// A state, with a mark that tells what kind it is without colour.
pub fn state(state: ErasureState) -> Markup {
    let mark = match state {
        ErasureState::Rejected | ErasureState::Failed | ErasureState::Cancelled => "✕",
        ErasureState::Verified
        | ErasureState::Certified
        | ErasureState::Purged
        | ErasureState::Closed => "✓",
        ErasureState::Running => "◐",
        ErasureState::Received | ErasureState::Planned | ErasureState::Approved => "○",
    };
    html! { span class={ "state " (state) } { span aria-hidden="true" { (mark) } " " (state) } }
}

/// Who did something, and when: in milliseconds since 1970-01-01 UTC.
pub fn moment(by: &str, at: u64) -> Markup {
    html! { (time(at)) " by " (if by.is_empty() { "-" } else { by }) }
}

/// What a list says at its end that leaves some out.
pub(super) fn left_out(count: usize, shown: usize) -> Markup {
    html! { @if count > shown {
        p.soft { "and " (count - shown) " more; the report as a file and the bundle have all of them" }
    } }
}
