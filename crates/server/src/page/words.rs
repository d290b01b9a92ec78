//! Requests and scopes in words.

use disinherit::registry::{ErasureRequest, ErasureState};
use disinherit_desk::{ErasureScope, ScopeReason, ScopedModel, Unreached};
use maud::{Markup, html};

use crate::when::{DAY, day, left, time};

/// The most models of a scope that a page shows.
const LISTED: usize = 200;

pub(super) fn state(state: ErasureState) -> Markup {
    html! { span class={ "state " (state) } { (state) } }
}

/// A deadline, and how far it is where that matters.
pub(super) fn deadline(erasure: &ErasureRequest) -> Markup {
    let close = disinherit::model::now() + 7 * DAY;
    let class = match () {
        () if !erasure.state.is_open() => "",
        () if erasure.deadline < disinherit::model::now() => "late",
        () if erasure.deadline < close => "soon",
        () => "",
    };
    html! {
        (day(erasure.deadline))
        @if erasure.state.is_open() { " " span class=(class) { (left(erasure.deadline)) } }
    }
}

pub(super) fn moment(by: &str, at: u64) -> Markup {
    html! { (time(at)) " by " (if by.is_empty() { "-" } else { by }) }
}

/// Whom a request touches and why, and what it cannot reach.
pub(super) fn scope(scope: &ErasureScope) -> Markup {
    let [initial, inherited, retired] = scope.counts();
    html! {
        p { "Touches " strong { (scope.models.len()) " models" } " by " (scope.method) ": " (initial)
            " trained on it, " (inherited) " inherited from those; " (retired) " would be retired." }
        div.wide { table {
            thead { tr { th { "Model" } th { "Part" } th { "Why" } } }
            tbody {
                @for model in scope.models.iter().take(LISTED) {
                    tr { td { (model.model) } td { (model.role) } td { (why(model)) } }
                }
            }
        } }
        @if scope.models.len() > LISTED {
            p.soft { "and " (scope.models.len() - LISTED) " more; the JSON has all of them" }
        }
        h3 { "What it cannot reach" }
        ul { @for what in &scope.unreached { li { (unreached(what)) } } }
    }
}

fn why(model: &ScopedModel) -> String {
    let reason = match &model.reason {
        ScopeReason::Trained { on } => format!("trained on {on}"),
        ScopeReason::SamplesUnknown { on } => {
            format!("trained on {on}, of which the samples are not on record")
        }
        ScopeReason::Named => "named by hand".to_owned(),
        ScopeReason::Inherited { from, relation } => {
            format!("inherited from {from} by {}", relation.replace('_', " "))
        }
    };
    let retired = if model.retired { "; to be retired" } else { "" };
    format!("{reason}{retired}")
}

fn unreached(what: &Unreached) -> String {
    match what {
        Unreached::Copies => {
            "Copies that were exported or deployed: the registry does not know where they are."
                .into()
        }
        Unreached::Backups => "Backups, and earlier versions that the storage keeps.".into(),
        Unreached::NoRecord { count, models } => {
            let names: Vec<String> = models.iter().map(ToString::to_string).collect();
            let more = if *count > models.len() { ", ..." } else { "" };
            format!(
                "{count} models do not say what they were trained on: {}{more}",
                names.join(", ")
            )
        }
    }
}
