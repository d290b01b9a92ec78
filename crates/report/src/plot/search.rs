//! The search for alpha: accuracy over alpha, with the chosen value marked.

use disinherit_lab::Study;
use disinherit_registry::ModelOutcome;
use fiun::Trial;
use maud::{Markup, html};

use super::axes::{HEIGHT, LEFT, TOP, figure, percentages};
use crate::text::at;

const WIDTH: f64 = 350.0;

/// One chart for every model whose alpha was searched.
pub(crate) fn draw(study: &Study) -> Markup {
    let shown = study.shown().into_iter().flat_map(|result| &result.models);
    curves(shown.map(|model| &model.outcome))
}

/// The same of some outcomes.
pub(crate) fn curves<'a>(outcomes: impl Iterator<Item = &'a ModelOutcome>) -> Markup {
    let charts: Vec<Markup> = outcomes.filter_map(chart).collect();
    html! {
        @if charts.is_empty() {
            p { "Alpha was given or taken by rule; nothing was searched." }
        } @else {
            p class="legend" {
                span class="before" { "forget set" }
                span class="retrained" { "retain set" }
                span class="chosen" { "chosen" }
            }
            p {
                "Accuracy on the samples that the search saw, over the threshold alpha "
                "(logarithmic). To the left more parameters are dampened."
            }
            div class="pair" { @for chart in &charts { (chart) } }
        }
    }
}

fn chart(outcome: &ModelOutcome) -> Option<Markup> {
    let curve = &outcome.choice.as_ref()?.curve;
    let alpha = outcome.alpha?;
    let (low, high) = (curve.first()?.alpha.ln(), curve.last()?.alpha.ln());
    let x = |alpha: f64| LEFT + (alpha.ln() - low) / (high - low).max(1e-9) * (WIDTH - LEFT - 10.0);
    let line = |pick: fn(&Trial) -> f64| -> String {
        let point = |trial: &Trial| {
            let y = TOP + (1.0 - pick(trial)) * HEIGHT;
            format!("{:.1},{y:.1}", x(trial.alpha))
        };
        curve.iter().map(point).collect::<Vec<_>>().join(" ")
    };
    let (chosen, bottom) = (at(x(alpha)), TOP + HEIGHT);
    let content = html! {
        (percentages(WIDTH))
        line class="chosen" x1=(chosen) x2=(chosen) y1=(at(TOP)) y2=(at(bottom)) {
            title { "alpha " (format!("{alpha:.3}")) }
        }
        polyline class="before" points=(line(|trial| trial.forget)) {}
        polyline class="retrained" points=(line(|trial| trial.retain)) {}
        @for (anchor, place) in [(low, LEFT), (high, WIDTH - 24.0)] {
            text class="tick" x=(at(place)) y=(at(bottom + 16.0)) {
                (format!("{:.2}", anchor.exp()))
            }
        }
    };
    let size = (WIDTH, TOP + HEIGHT + 24.0);
    Some(figure(&outcome.before.to_string(), "search", size, content))
}
