//! What decides about the inside of the models: probe, relearning and membership of every model and
//! method, against what models reach that never knew the forget set.

use disinherit::evaluation::{Estimate, Interval, Measured, Reference, ReferenceKind};
use disinherit_lab::{MethodResult, Study};
use maud::{Markup, html};
use umig::Role;

use super::axes::{Rows, TOP, colour};
use crate::judged::beside;
use crate::text::{at, marked, view_box};

/// The width of a chart: three of them fit beside each other.
const WIDTH: f64 = 380.0;

const ROWS: Rows = Rows {
    left: 128.0,
    right: 364.0,
    step: 20.0,
};

/// One chart.
struct Chart {
    title: &'static str,
    pick: fn(&Measured) -> Option<Estimate>,
    interval: fn(&Reference) -> Option<Interval>,
    /// What a value is multiplied by to be shown.
    unit: f64,
    /// Whether more is no finding.
    open_above: bool,
}

const CHARTS: [Chart; 3] = [
    Chart {
        title: "probe on the penultimate layer, %",
        pick: |m| m.probe,
        interval: |r| r.probe,
        unit: 100.0,
        open_above: false,
    },
    Chart {
        title: "steps of relearning from a neutral row",
        pick: |m| m.reset,
        interval: |r| r.reset,
        unit: 1.0,
        open_above: true,
    },
    Chart {
        title: "membership: area under the curve, %",
        pick: |m| m.area,
        interval: |r| r.area,
        unit: 100.0,
        open_above: false,
    },
];

/// The charts beside each other, and what their band is.
pub(crate) fn draw(study: &Study) -> Markup {
    bands(&rows(study), study.reference().as_ref())
}

/// The same of other rows, and another reference.
pub(crate) fn bands(rows: &[Row], reference: Option<&Reference>) -> Markup {
    let measured = |chart: &Chart| rows.iter().any(|row| !row.dots(chart).is_empty());
    let charts: Vec<&Chart> = CHARTS.iter().filter(|chart| measured(chart)).collect();
    if charts.is_empty() {
        return html! { p { "Nothing looked inside the models." } };
    }
    let band = reference.map(|reference| match reference.kind {
        ReferenceKind::Retrained => "The band is what the retrained models reach",
        ReferenceKind::UntouchedRoot => "The band is what the untouched root reaches",
    });
    html! {
        p {
            (marked(&beside(reference)))
            @if let Some(band) = band {
                " " (band)
                ": the mean and two standard errors. A model that has forgotten lies in it: above it \
                 something is left in features or confidences, and far below it, over-erasure is a \
                 trace of its own. Of relearning, more steps are no finding."
            }
        }
        div class="pair" {
            @for chart in charts { (chart.draw(rows, reference)) }
        }
    }
}

/// The models of one method, or those before.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) class: &'static str,
    pub(crate) models: Vec<(String, Measured)>,
}

impl Row {
    fn dots(&self, chart: &Chart) -> Vec<(&str, f64)> {
        let models = self.models.iter();
        models
            .filter_map(|(name, found)| {
                Some((name.as_str(), (chart.pick)(found)?.mean * chart.unit))
            })
            .collect()
    }
}

fn rows(study: &Study) -> Vec<Row> {
    let touched = study.models.iter().filter(|m| m.role != Role::Untouched);
    let before = Row {
        name: "before".into(),
        class: "before",
        models: touched
            .map(|m| (m.id.name().to_owned(), m.before.measured()))
            .collect(),
    };
    let of = |result: &MethodResult| Row {
        name: result.variant.to_string(),
        class: colour(result),
        models: result
            .models
            .iter()
            .map(|m| (m.id.name().to_owned(), m.verdicts.measured()))
            .collect(),
    };
    let results = study.results.iter().filter(|r| r.failed.is_none());
    [before].into_iter().chain(results.map(of)).collect()
}

impl Chart {
    fn draw(&self, rows: &[Row], reference: Option<&Reference>) -> Markup {
        let interval = reference.and_then(self.interval);
        let band = interval.map(|interval| {
            let high = match self.open_above {
                true => f64::INFINITY,
                false => interval.high() * self.unit,
            };
            (interval.low() * self.unit, high)
        });
        let scale = Scale::new(rows.iter().flat_map(|row| row.dots(self)), band);
        let bottom = TOP + rows.len() as f64 * ROWS.step;
        html! {
            figure {
                figcaption { (self.title) }
                svg class="plot inside" viewBox=(view_box(WIDTH, bottom + 26.0))
                    width=(format!("{WIDTH:.0}")) role="img" aria-label=(self.title) {
                    @if let Some((low, high)) = band {
                        @let (x1, x2) = (ROWS.x(scale.share(low)), ROWS.x(scale.share(high)));
                        rect class="band" x=(at(x1)) y=(at(TOP)) width=(at((x2 - x1).max(1.0)))
                            height=(at(bottom - TOP)) { title { "what the reference reaches" } }
                    }
                    @for step in 0..=4u32 {
                        @let share = f64::from(step) / 4.0;
                        (ROWS.mark(rows.len(), share, &format!("{:.0}", scale.value(share))))
                    }
                    @for (place, row) in rows.iter().enumerate() {
                        (ROWS.name(place, &row.name))
                        @for (model, value) in row.dots(self) {
                            circle class=(row.class) cx=(at(ROWS.x(scale.share(value))))
                                cy=(at(ROWS.middle(place))) r="4.5" {
                                title { (row.name) " " (model) ": " (format!("{value:.1}")) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// From values to shares of the width, with round ends.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn new<'a>(dots: impl Iterator<Item = (&'a str, f64)>, band: Option<(f64, f64)>) -> Self {
        let ends = band.map(|(low, high)| [low, high]).into_iter().flatten();
        let values = dots.map(|(_, value)| value).chain(ends);
        let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // Ends and the marks between them are whole numbers.
        let low = (low / 4.0).floor() * 4.0;
        Self {
            low,
            high: low + ((high - low) / 4.0).ceil().max(1.0) * 4.0,
        }
    }

    fn share(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    fn value(&self, share: f64) -> f64 {
        self.low + share * (self.high - self.low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_have_whole_marks_around_all_values() {
        let dots = [("a", 71.3), ("b", 96.8)];
        let scale = Scale::new(dots.into_iter(), Some((67.0, f64::INFINITY)));
        assert_eq!((scale.low, scale.high), (64.0, 100.0));
        assert_eq!(scale.value(0.25), 73.0);
        assert_eq!(scale.share(64.0), 0.0);
        assert_eq!(scale.share(f64::INFINITY), 1.0);
        let one = Scale::new([("a", 8.0)].into_iter(), None);
        assert_eq!((one.low, one.high), (8.0, 12.0));
    }
}
