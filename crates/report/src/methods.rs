//! The methods beside each other, over models and seeds.

use disinherit::evaluation::Verdicts;
use disinherit_lab::{MethodResult, Metrics, ModelResult, Study, Variant, mean};
use maud::{Markup, html};

use crate::judged;
use crate::text::{bytes, duration, number};

/// A number of one method in one study.
type Pick = fn(&MethodResult) -> Option<f64>;

/// A column: heading, what it is in words, the number (shares in percent).
type Column = (&'static str, &'static str, Pick);

/// What decides.
const DECIDING: [Column; 7] = [
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
    ("retain set, held out", "accuracy in percent", |r| {
        r.mean(|v| v.scores.retain.heldout).map(percent)
    }),
    (
        "probe",
        "balanced accuracy of a linear probe on the penultimate layer, percent; 50 is chance",
        |r| r.mean(|v| v.probe).map(percent),
    ),
    (
        "relearning from a neutral row",
        "steps until half of the accuracy is back; the limit where it is not",
        |r| r.mean(|v| Some(v.measured().reset?.mean)),
    ),
    (
        "membership, area",
        "trained-on against held-out forget samples by confidence, area under the curve, percent; 50 is chance",
        |r| r.mean(|v| Some(v.measured().area?.mean)).map(percent),
    ),
    (
        "membership, fitted",
        "the same by an attack that is fitted on features and logits of half of them",
        |r| r.mean(|v| Some(v.measured().fitted?.mean)).map(percent),
    ),
];

/// Everything else.
const FURTHER: [Column; 13] = [
    ("forget set, training", "accuracy in percent", |r| {
        r.mean(|v| v.scores.forget.train).map(percent)
    }),
    ("retain set, training", "accuracy in percent", |r| {
        r.mean(|v| v.scores.retain.train).map(percent)
    }),
    (
        "probe, inner layer",
        "balanced accuracy of a linear probe on an inner layer, percent",
        |r| {
            r.mean(|v| Some(v.measured().inner_probe?.mean))
                .map(percent)
        },
    ),
    (
        "relearning as it is",
        "steps until half of the accuracy is back, from the head as it is: low rows take longer",
        |r| r.mean(Verdicts::relearning_steps),
    ),
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
        "average gap",
        "mean distance to the retrained model in three accuracies and membership, percent; 0 is best",
        |r| of_others(r, |m| m.average_gap),
    ),
    (
        "tug of war",
        "product of one minus the distances to the retrained model's accuracies, percent; 100 is best",
        |r| of_others(r, |m| m.tug_of_war),
    ),
    (
        "NoMUS",
        "retained accuracy and how little membership tells, percent; 100 is best",
        |r| of_others(r, |m| m.nomus),
    ),
    (
        "AUS",
        "retained accuracy kept over one plus the accuracy left on the forget set, percent; 100 is best",
        |r| of_others(r, |m| m.aus),
    ),
];

/// The mean of a metric that others report, over the models that have it.
fn of_others(result: &MethodResult, pick: fn(&Metrics) -> Option<f64>) -> Option<f64> {
    mean(result.models.iter().filter_map(|m| pick(&m.metrics?))).map(percent)
}

fn percent(share: f64) -> f64 {
    share * 100.0
}

/// Two tables with a row for each method: what decides, and everything else. Each number is the mean
/// over the models, and over several seeds the mean and, in brackets, the standard deviation.
pub(crate) fn draw(studies: &[Study]) -> Markup {
    let variants = studies.first().map(|first| first.results.iter());
    let variants: Vec<Variant> = variants.into_iter().flatten().map(|r| r.variant).collect();
    html! {
        div class="wide" { table class="methods" {
            thead { tr {
                th { "method" }
                th title="how far it is forgotten" { "forgotten in" }
                @for (name, words, _) in DECIDING { th title=(words) { (name) } }
                th { "wall time" }
            } }
            tbody { @for variant in &variants { (deciding(studies, *variant)) } }
        } }
        details {
            summary { "Further numbers" }
            div class="wide" { table class="methods numbers" {
                thead { tr {
                    th { "method" }
                    @for (name, words, _) in FURTHER { th title=(words) { (name) } }
                    th { "processor time" }
                    th { "read" }
                    th { "written" }
                    th { "parameters changed" }
                } }
                tbody { @for variant in &variants { (further(studies, *variant)) } }
            } }
        }
        details {
            summary { "What the columns mean" }
            ul { @for (name, words, _) in DECIDING.iter().chain(&FURTHER) {
                li { (name) ": " (words) }
            } }
        }
    }
}

/// The results of one method in all studies, those that did not fail.
fn fine(studies: &[Study], variant: Variant) -> Vec<&MethodResult> {
    let results = studies.iter().flat_map(|study| &study.results);
    results
        .filter(|r| r.variant == variant && r.failed.is_none())
        .collect()
}

fn name(studies: &[Study], variant: Variant) -> (Option<&'static str>, Markup) {
    let title = format!("{} ({})", variant.method.purpose(), variant.method.source());
    let detailed = studies.first().and_then(Study::shown);
    let chosen = detailed.is_some_and(|r| r.variant == variant);
    let cell = html! { td title=(title) { (variant.to_string()) } };
    (chosen.then_some("chosen"), cell)
}

fn deciding(studies: &[Study], variant: Variant) -> Markup {
    let (class, name) = name(studies, variant);
    let fine = fine(studies, variant);
    let results = studies.iter().flat_map(|study| &study.results);
    let why = results
        .filter(|r| r.variant == variant)
        .find_map(|r| r.failed.as_deref());
    html! {
        tr class=[class] {
            (name)
            @if fine.is_empty() {
                td colspan=(DECIDING.len() + 2) class="failed" {
                    "failed: " (why.unwrap_or("unknown"))
                }
            } @else {
                td { (words(studies, variant)) }
                @for (_, _, pick) in DECIDING { (spread(&values(&fine, pick))) }
                td { (costs(&fine)[0]) }
            }
        }
    }
}

/// The judgement in each study, each word once.
fn words(studies: &[Study], variant: Variant) -> String {
    let mut words: Vec<&str> = Vec::new();
    for study in studies {
        if let Some(result) = study.result(variant) {
            let word = judged::word(study.judged(result).judgement);
            if !words.contains(&word) {
                words.push(word);
            }
        }
    }
    words.join(", ")
}

fn values(fine: &[&MethodResult], pick: Pick) -> Vec<f64> {
    fine.iter().filter_map(|r| pick(r)).collect()
}

fn further(studies: &[Study], variant: Variant) -> Markup {
    let (class, name) = name(studies, variant);
    let fine = fine(studies, variant);
    html! {
        @if !fine.is_empty() {
            tr class=[class] {
                (name)
                @for (_, _, pick) in FURTHER { (spread(&values(&fine, pick))) }
                @for cost in &costs(&fine)[1..] { td { (cost) } }
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
