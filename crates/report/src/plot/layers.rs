//! The share of parameters that a dampening method selected, tensor by tensor.

use std::collections::BTreeMap;

use disinherit_lab::{MethodResult, Study};
use disinherit_registry::ModelOutcome;
use fiun::Selection;
use maud::{Markup, html};

use super::axes::{METHODS, Rows, figure};

/// Layers shown at most.
const LAYERS: usize = 60;

const ROWS: Rows = Rows {
    left: 190.0,
    ..METHODS
};

/// One chart for each dampening method.
pub(crate) fn draw(study: &Study) -> Markup {
    let results: Vec<&MethodResult> = study
        .results
        .iter()
        .filter(|r| r.variant.method.dampens() && r.failed.is_none())
        .collect();
    html! {
        @if results.is_empty() {
            p { "No method dampened." }
        } @else {
            p { "Share of each tensor's parameters that were selected, over all touched models." }
            div class="pair" { @for result in results {
                (bars(&result.variant.to_string(), result.models.iter().map(|model| &model.outcome)))
            } }
        }
    }
}

/// One chart, over all models that a method edited.
pub(crate) fn bars<'a>(method: &str, outcomes: impl Iterator<Item = &'a ModelOutcome>) -> Markup {
    let mut tensors: BTreeMap<&String, Selection> = BTreeMap::new();
    for outcome in outcomes {
        for (name, selection) in &outcome.tensors {
            let sum = tensors.entry(name).or_default();
            *sum = sum.plus(*selection);
        }
    }
    let top = tensors.values().map(|s| s.share()).fold(1e-9, f64::max);
    let shown = tensors.len().min(LAYERS);
    let title = match tensors.len() > LAYERS {
        true => format!("{method} (the first {LAYERS} tensors)"),
        false => method.to_owned(),
    };
    let content = html! {
        @for share in [0.0, 0.5, 1.0] {
            (ROWS.mark(shown, share, &format!("{:.1} %", share * top * 100.0)))
        }
        @for (row, (name, selection)) in tensors.iter().take(LAYERS).enumerate() {
            @let words = format!(
                "{name}: {} of {} selected",
                selection.selected, selection.parameters
            );
            (ROWS.name(row, name))
            (ROWS.bar(row, selection.share() / top, "after", &words))
        }
    };
    figure(&title, "layers", ROWS.size(shown), content)
}
