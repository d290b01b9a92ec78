//! The table of models.

use disinherit::evaluation::{Estimate, Interval, Measured, Reference, Scores};
use disinherit_lab::{Compared, Study};
use maud::{Markup, html};

use crate::judged;
use crate::text::{marked, number};

/// Every model: role, judgement, accuracies and what was found inside, before, after and of the
/// reference; and what was changed.
pub(crate) fn draw(study: &Study) -> Markup {
    let models = study.compared();
    html! {
        p {
            "Before → after, and of the reference in brackets; accuracies, probe and area in percent. "
            (marked(&judged::beside(study.reference().as_ref())))
        }
        div class="wide" { table {
            thead { tr {
                th { "model" }
                th { "role" }
                th { "forgotten in" }
                th { "forget set, held out" }
                th { "retain set, held out" }
                th { "probe" }
                th { "relearning from a neutral row" }
                th { "membership, area" }
            } }
            tbody { @for model in &models { (row(study, model)) } }
        } }
        details {
            summary { "On training data, and what was changed" }
            p { "Training data is the model's own." }
            div class="wide" { table {
                thead { tr {
                    th { "model" }
                    th { "role" }
                    th { "forget set, training" }
                    th { "retain set, training" }
                    th { "parameters changed" }
                    th { "alpha / lambda" }
                    th { "time" }
                } }
                tbody { @for model in &models { (further(study, model)) } }
            } }
        }
    }
}

fn row(study: &Study, model: &Compared) -> Markup {
    let shown = study.shown();
    let after = shown.and_then(|r| r.models.iter().find(|m| m.id.name() == model.name));
    let word = shown.zip(after).map(|(result, after)| {
        let judged = study.judged_model(result, after);
        judged::word(judged.judgement)
    });
    let before = study.models.iter().find(|m| m.id.name() == model.name);
    let found = Found {
        before: before.map(|m| m.before.measured()),
        after: after.map(|m| m.verdicts.measured()),
        reference: before.and_then(|m| study.reference_for(&m.id)),
    };
    let role = model.role.to_string();
    let word = match before.is_some_and(|m| m.retired) {
        true => Some("retired"),
        false => word,
    };
    html! {
        tr class=(role) {
            td { (model.name) }
            td { (role) }
            td { (word.unwrap_or("-")) }
            (cell(model, |s| s.forget.heldout))
            (cell(model, |s| s.retain.heldout))
            (found.cell(|m| m.probe, |r| r.probe, 100.0))
            (found.cell(|m| m.reset, |r| r.reset, 1.0))
            (found.cell(|m| m.area, |r| r.area, 100.0))
        }
    }
}

fn further(study: &Study, model: &Compared) -> Markup {
    let outcome = study
        .shown()
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
            (cell(model, |s| s.retain.train))
            td { (model.parameters_changed) }
            td { (alpha.as_deref().unwrap_or("-")) }
            td { (time.as_deref().unwrap_or("-")) }
        }
    }
}

/// What was found inside a model, and what its reference reaches.
struct Found {
    before: Option<Measured>,
    after: Option<Measured>,
    reference: Option<Reference>,
}

impl Found {
    fn cell(
        &self,
        pick: fn(&Measured) -> Option<Estimate>,
        interval: fn(&Reference) -> Option<Interval>,
        unit: f64,
    ) -> Markup {
        let of = |found: &Option<Measured>| found.as_ref().and_then(pick).map(|e| e.mean * unit);
        let shown = |value: Option<f64>| value.map_or("-".into(), |v| format!("{v:.1}"));
        let (before, after) = (of(&self.before), of(&self.after));
        html! {
            td {
                (shown(before))
                @if after.is_some() { " → " b { (shown(after)) } }
                @if let Some(interval) = self.reference.as_ref().and_then(interval) {
                    " " i { "(" (shown(Some(interval.mean * unit))) ")" }
                }
            }
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
