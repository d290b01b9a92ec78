//! Held-out accuracy of every touched model under every method.

use disinherit::evaluation::Scores;
use disinherit_lab::{ModelResult, Study};
use maud::{Markup, html};
use umig::Role;

use super::axes::{METHODS, colour, figure};
use crate::text::{at, percent};

/// A number of a model.
type Pick = fn(&Scores) -> Option<f64>;

/// One chart for the forget set, one for the retain set.
pub(crate) fn draw(study: &Study) -> Markup {
    html! {
        p { "One dot for each touched model; point at it for its name." }
        div class="pair" {
            (chart(study, "on the forget set, held out", |scores| scores.forget.heldout))
            (chart(study, "on the retain set, held out", |scores| scores.retain.heldout))
        }
    }
}

/// The dots of one method, or of one moment.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) class: &'static str,
    /// Models with their values, 0 to 1.
    pub(crate) dots: Vec<(String, f64)>,
}

fn chart(study: &Study, title: &str, pick: Pick) -> Markup {
    dots(title, &rows(study, pick))
}

/// Rows of dots over percentages.
pub(crate) fn dots(title: &str, rows: &[Row]) -> Markup {
    let content = html! {
        @for step in 0..=4u32 {
            (METHODS.mark(rows.len(), f64::from(step) / 4.0, &format!("{} %", step * 25)))
        }
        @for (place, row) in rows.iter().enumerate() {
            (METHODS.name(place, &row.name))
            @for (model, value) in &row.dots {
                circle class=(row.class) cx=(at(METHODS.x(*value))) cy=(at(METHODS.middle(place)))
                    r="4.5" { title { (row.name) " " (model) ": " (percent(Some(*value))) } }
            }
        }
    };
    figure(title, "accuracies", METHODS.size(rows.len()), content)
}

fn rows(study: &Study, pick: Pick) -> Vec<Row> {
    let touched = study.models.iter().filter(|m| m.role != Role::Untouched);
    let before = Row {
        name: "before".into(),
        class: "before",
        dots: touched
            .filter_map(|m| Some((m.id.name().to_owned(), pick(&m.before.scores)?)))
            .collect(),
    };
    let dot = |model: &ModelResult| {
        let value = pick(&model.verdicts.scores)?;
        Some((model.id.name().to_owned(), value))
    };
    let results = study.results.iter().filter(|r| r.failed.is_none());
    let after = results.map(|result| Row {
        name: result.variant.to_string(),
        class: colour(result),
        dots: result.models.iter().filter_map(dot).collect(),
    });
    [before].into_iter().chain(after).collect()
}
