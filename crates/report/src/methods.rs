//! The methods beside each other, over models and seeds.

use disinherit::evaluation::Verdicts;
use disinherit_lab::{MethodResult, ModelResult, Study, Variant, mean};
use maud::{Markup, html};

use crate::shown::shown;
use crate::text::{bytes, duration, number};

/// A number of one method in one study.
type Pick = fn(&MethodResult) -> Option<f64>;

/// The columns: heading, what it is in words, the number, whether it is a share.
const COLUMNS: [(&str, &str, Pick); 12] = [
    (
        "forget set, held out",
        "accuracy in percent, mean over the touched models",
        |r| r.mean(|v| v.scores.forget.heldout).map(percent),
    ),
    (
        "worst",
        "the worst model's accuracy on the forget set, held out",
        |r| {
            let worst = r
                .models
                .iter()
                .filter_map(|m| m.verdicts.scores.forget.heldout);
            worst.reduce(f64::max).map(percent)
        },
    ),
    ("forget set, training", "accuracy in percent", |r| {
        r.mean(|v| v.scores.forget.train).map(percent)
    }),
    ("retain set, held out", "accuracy in percent", |r| {
        r.mean(|v| v.scores.retain.heldout).map(percent)
    }),
    ("retain set, training", "accuracy in percent", |r| {
        r.mean(|v| v.scores.retain.train).map(percent)
    }),
    (
        "called member",
        "share of the forget set that an attack calls training data, percent",
        |r| {
            r.mean(|v| v.membership.map(|m| m.called_member))
                .map(percent)
        },
    ),
    (
        "likelihood ratio",
        "area under the curve, percent; 50 is chance",
        |r| {
            r.mean(|v| {
                v.membership
                    .and_then(|m| m.likelihood_ratio)
                    .map(|l| l.area)
            })
            .map(percent)
        },
    ),
    (
        "divergence",
        "Jensen-Shannon divergence from the retrained baseline on the forget set, 1/100 bit",
        |r| {
            r.mean(|v| v.distance.map(|d| d.forget_divergence))
                .map(percent)
        },
    ),
    (
        "activation distance",
        "from the retrained baseline on the forget set, 1/100",
        |r| {
            r.mean(|v| v.distance.map(|d| d.forget_activation))
                .map(percent)
        },
    ),
    ("ZRF", "zero retrain forgetting, percent", |r| {
        r.mean(|v| v.zero_retrain_forgetting).map(percent)
    }),
    (
        "probe",
        "balanced accuracy of a linear probe on the features, percent; 50 is chance",
        |r| r.mean(|v| v.probe).map(percent),
    ),
    (
        "relearning",
        "steps until half of the accuracy is back; the limit where it is not",
        |r| r.mean(Verdicts::relearning_steps),
    ),
];

fn percent(share: f64) -> f64 {
    share * 100.0
}

/// A table with a row for each method: the mean over the models, and over several seeds the mean
/// and, in brackets, the standard deviation.
pub(crate) fn draw(studies: &[Study]) -> Markup {
    let variants = studies.first().map(|first| first.results.iter());
    html! {
        div class="wide" { table class="methods" {
            thead { tr {
                th { "method" }
                @for (name, words, _) in COLUMNS { th title=(words) { (name) } }
                th { "wall time" }
                th { "processor time" }
                th { "read" }
                th { "written" }
                th { "parameters changed" }
            } }
            tbody {
                @for result in variants.into_iter().flatten() { (row(studies, result.variant)) }
            }
        } }
        details {
            summary { "What the columns mean" }
            ul { @for (name, words, _) in COLUMNS { li { (name) ": " (words) } } }
        }
    }
}

fn row(studies: &[Study], variant: Variant) -> Markup {
    let results: Vec<&MethodResult> = studies
        .iter()
        .flat_map(|study| study.results.iter().filter(|r| r.variant == variant))
        .collect();
    let fine: Vec<&MethodResult> = results
        .iter()
        .copied()
        .filter(|r| r.failed.is_none())
        .collect();
    let title = format!("{} ({})", variant.method.purpose(), variant.method.source());
    let detailed = studies.first().and_then(shown);
    let class = detailed
        .is_some_and(|r| r.variant == variant)
        .then_some("chosen");
    let why = results.iter().find_map(|r| r.failed.as_deref());
    html! {
        tr class=[class] {
            td title=(title) { (variant.to_string()) }
            @if fine.is_empty() {
                td colspan=(COLUMNS.len() + 5) class="failed" {
                    "failed: " (why.unwrap_or("unknown"))
                }
            } @else {
                @for (_, _, pick) in COLUMNS {
                    (spread(&fine.iter().filter_map(|r| pick(r)).collect::<Vec<f64>>()))
                }
                @for cost in costs(&fine) { td { (cost) } }
            }
        }
    }
}

/// What a method cost on average: wall time, processor time, bytes read and written, parameters.
fn costs(fine: &[&MethodResult]) -> [String; 5] {
    let mean_of =
        |pick: fn(&MethodResult) -> Option<f64>| mean(fine.iter().filter_map(|r| pick(r)));
    let changed = |r: &MethodResult| {
        let of = |m: &ModelResult| m.outcome.selection().changed as f64;
        mean(r.models.iter().map(of))
    };
    let time = |seconds: Option<f64>| seconds.map_or("-".into(), duration);
    let size = |count: Option<f64>| count.map_or("-".into(), |count| bytes(count as u64));
    [
        time(mean_of(|r| Some(r.cost.seconds))),
        time(mean_of(|r| r.cost.processor_seconds)),
        size(mean_of(|r| Some(r.cost.bytes_read as f64))),
        size(mean_of(|r| Some(r.cost.bytes_written as f64))),
        mean_of(changed).map_or("-".into(), |n| format!("{n:.0}")),
    ]
}

/// The mean, with the standard deviation in brackets where there are several.
fn spread(values: &[f64]) -> Markup {
    let Some(mean) = mean(values.iter().copied()) else {
        return html! { td { "-" } };
    };
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    html! {
        td {
            (number(Some(mean / 100.0)))
            @if values.len() > 1 {
                " " i { (format!("({:.1})", (squares / (values.len() - 1) as f64).sqrt())) }
            }
        }
    }
}
