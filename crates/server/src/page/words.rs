//! Requests in words.

use disinherit::registry::{ErasureRequest, ErasureState};
use maud::{Markup, html};

use crate::when::{DAY, day, left, time};

/// A state, with a mark that tells what kind it is without colour.
pub(super) fn state(state: ErasureState) -> Markup {
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

/// A deadline, and how far it is where that matters.
pub(super) fn deadline(erasure: &ErasureRequest) -> Markup {
    let close = disinherit::model::now() + 7 * DAY;
    let class = match () {
        () if !erasure.state.is_open() => "",
        () if erasure.deadline < disinherit::model::now() => "late",
        () if erasure.deadline < close => "soon",
        () => "soft",
    };
    html! {
        span.day { (day(erasure.deadline)) }
        @if erasure.state.is_open() { " " span class=(class) { (left(erasure.deadline)) } }
    }
}

pub(super) fn moment(by: &str, at: u64) -> Markup {
    html! { (time(at)) " by " (if by.is_empty() { "-" } else { by }) }
}
