//! Wall time of every method on a logarithmic scale.

use disinherit_lab::{MethodKind, MethodResult, Study};
use maud::{Markup, html};

use super::axes::{METHODS, TOP, colour, figure};
use crate::text::{at, duration};

/// One bar for each method, with a mark at 1 % of retraining's time.
pub(crate) fn draw(study: &Study) -> Markup {
    let results: Vec<&MethodResult> = study
        .results
        .iter()
        .filter(|r| r.failed.is_none() && r.cost.seconds > 0.0)
        .collect();
    if results.is_empty() {
        return html! { p { "No time was measured." } };
    }
    let retrain = study.result(MethodKind::Retrain.into());
    let retrain = retrain.map(|result| result.cost.seconds);
    let scale = Scale::new(&results);
    let content = html! {
        @for power in scale.low as i32..=scale.high as i32 {
            @let seconds = 10f64.powi(power);
            (METHODS.mark(results.len(), scale.share(seconds), &duration(seconds)))
        }
        @for (row, result) in results.iter().enumerate() {
            @let share = scale.share(result.cost.seconds);
            (METHODS.name(row, &result.variant.to_string()))
            (METHODS.bar(row, share, colour(result), &title(result, retrain)))
        }
        @if let Some(retrain) = retrain { (bound(scale.share(retrain / 100.0), results.len())) }
    };
    let name = "wall time of all touched models together, logarithmic";
    html! {
        (figure(name, "costs", METHODS.size(results.len()), content))
        @if retrain.is_some() { p { "The dashed line is 1 % of retraining's time." } }
    }
}

/// Whole powers of ten around all times.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn new(results: &[&MethodResult]) -> Self {
        let logs = results.iter().map(|r| r.cost.seconds.log10());
        let low = logs.clone().fold(f64::INFINITY, f64::min).floor();
        let high = logs.fold(f64::NEG_INFINITY, f64::max).ceil().max(low + 1.0);
        Self { low, high }
    }

    fn share(&self, seconds: f64) -> f64 {
        (seconds.log10() - self.low) / (self.high - self.low)
    }
}

fn title(result: &MethodResult, retrain: Option<f64>) -> String {
    let seconds = result.cost.seconds;
    let of = retrain.map_or(String::new(), |retrain| {
        format!(", {:.2} % of retraining", seconds / retrain * 100.0)
    });
    format!("{}: {}{of}", result.variant, duration(seconds))
}

fn bound(share: f64, rows: usize) -> Markup {
    let x = at(METHODS.x(share));
    html! {
        @if (0.0..=1.0).contains(&share) {
            line class="chosen" x1=(x) x2=(x) y1=(at(TOP))
                y2=(at(TOP + rows as f64 * METHODS.step)) { title { "1 % of retraining" } }
        }
    }
}
