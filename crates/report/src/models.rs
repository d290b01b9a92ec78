//! The table of models.

use disinherit::evaluation::Scores;
use disinherit_lab::{Compared, MethodResult, Study};
use maud::{Markup, html};

use crate::shown::{compared, shown};
use crate::text::number;

/// Every model: role, accuracies before, after and retrained, what was changed.
pub(crate) fn draw(study: &Study) -> Markup {
    let shown = shown(study);
    html! {
        p {
            "Accuracy in percent: before → after, and of the retrained baseline in brackets. "
            "Training means the model's own training data."
        }
        div class="wide" { table {
            thead {
                tr {
                    th rowspan="2" { "model" }
                    th rowspan="2" { "role" }
                    th colspan="2" { "forget set" }
                    th colspan="2" { "retain set" }
                    th rowspan="2" { "parameters" br; "changed" }
                    th rowspan="2" { "alpha / lambda" }
                    th rowspan="2" { "time" }
                }
                tr {
                    th { "training" }
                    th { "held out" }
                    th { "training" }
                    th { "held out" }
                }
            }
            tbody { @for model in compared(study) { (row(shown, &model)) } }
        } }
    }
}

fn row(shown: Option<&MethodResult>, model: &Compared) -> Markup {
    let outcome = shown
        .and_then(|r| r.models.iter().find(|m| m.id.name() == model.name))
        .map(|m| &m.outcome);
    let pair = outcome.and_then(|o| o.alpha.zip(o.lambda));
    let alpha = pair.map(|(alpha, lambda)| format!("{alpha:.2} / {lambda:.1}"));
    let time = outcome.map(|o| format!("{:.1} ms", o.seconds * 1e3));
    let role = model.role.to_string();
    html! {
        tr class=(role) {
            td { (model.name) }
            td { (role) }
            (cell(model, |s| s.forget.train))
            (cell(model, |s| s.forget.heldout))
            (cell(model, |s| s.retain.train))
            (cell(model, |s| s.retain.heldout))
            td { (model.parameters_changed) }
            td { (alpha.as_deref().unwrap_or("-")) }
            td { (time.as_deref().unwrap_or("-")) }
        }
    }
}

fn cell(model: &Compared, pick: fn(&Scores) -> Option<f64>) -> Markup {
    html! {
        td {
            (number(pick(&model.before))) " → " b { (number(pick(&model.after))) }
            @if let Some(again) = pick(&model.retrained) {
                " " i { "(" (number(Some(again))) ")" }
            }
        }
    }
}
