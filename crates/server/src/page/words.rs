//! Requests in words.

use disinherit::registry::ErasureRequest;
use disinherit_audit::day;
use maud::{Markup, html};

use crate::when::{DAY, left};

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
