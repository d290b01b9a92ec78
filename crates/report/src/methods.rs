//! The methods beside each other, over models and seeds.

use disinherit::{MethodResult, Study, Variant, Verdicts};

use crate::text::{bytes, duration, escape, number};

/// A number of one method in one study.
type Pick = fn(&MethodResult) -> Option<f64>;

/// The columns: heading, what it is in words, the number, whether it is a share.
const COLUMNS: [(&str, &str, Pick); 12] = [
    (
        "forgotten, held out",
        "accuracy in percent, mean over the touched models",
        |r| r.mean(|v| v.scores.forget.heldout).map(percent),
    ),
    ("worst", "the worst model", |r| {
        let worst = r
            .models
            .iter()
            .filter_map(|m| m.verdicts.scores.forget.heldout);
        worst.reduce(f64::max).map(percent)
    }),
    ("forgotten, training", "accuracy in percent", |r| {
        r.mean(|v| v.scores.forget.train).map(percent)
    }),
    ("retained, held out", "accuracy in percent", |r| {
        r.mean(|v| v.scores.retain.heldout).map(percent)
    }),
    ("retained, training", "accuracy in percent", |r| {
        r.mean(|v| v.scores.retain.train).map(percent)
    }),
    (
        "called member",
        "share of the forget data that an attack calls training data, percent",
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
        "Jensen-Shannon divergence from the retrained model on the forget data, 1/100 bit",
        |r| {
            r.mean(|v| v.distance.map(|d| d.forget_divergence))
                .map(percent)
        },
    ),
    (
        "activation distance",
        "from the retrained model on the forget data, 1/100",
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
        "steps until the class is half back; the limit where it is not",
        |r| r.mean(relearning_steps),
    ),
];

fn percent(share: f64) -> f64 {
    share * 100.0
}

/// Steps of relearning, or the limit.
pub(crate) fn relearning_steps(verdicts: &Verdicts) -> Option<f64> {
    let relearning = verdicts.relearning?;
    Some(relearning.steps.unwrap_or(relearning.limit) as f64)
}

/// A table with a row for each method: the mean over the models, and over several seeds the mean
/// and, in brackets, the standard deviation.
pub(crate) fn table(studies: &[Study]) -> String {
    let Some(first) = studies.first() else {
        return String::new();
    };
    let heads: String = COLUMNS
        .iter()
        .map(|(name, words, _)| format!("<th title=\"{words}\">{name}</th>"))
        .collect();
    let rows: String = first
        .results
        .iter()
        .map(|result| row(studies, result.variant))
        .collect();
    let notes: String = COLUMNS
        .iter()
        .map(|(name, words, _)| format!("<li>{name}: {words}</li>\n"))
        .collect();
    format!(
        "<div class=\"wide\"><table class=\"methods\">\n<thead><tr><th>method</th>{heads}<th>wall \
         time</th><th>processor time</th><th>read</th><th>written</th><th>parameters \
         changed</th></tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n<details>\
         <summary>What the columns mean</summary>\n<ul>\n{notes}</ul>\n</details>\n"
    )
}

fn row(studies: &[Study], variant: Variant) -> String {
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
    let name = format!("<td title=\"{}\">{variant}</td>", escape(&title));
    if fine.is_empty() {
        let why = results.iter().find_map(|r| r.failed.as_deref());
        return format!(
            "<tr>{name}<td colspan=\"{}\" class=\"failed\">failed: {}</td></tr>\n",
            COLUMNS.len() + 5,
            escape(why.unwrap_or("unknown"))
        );
    }
    let cells: String = COLUMNS
        .iter()
        .map(|(_, _, pick)| {
            let values: Vec<f64> = fine.iter().filter_map(|r| pick(r)).collect();
            format!("<td>{}</td>", spread(&values))
        })
        .collect();
    let mean = |pick: fn(&MethodResult) -> Option<f64>| {
        disinherit::mean(fine.iter().filter_map(|r| pick(r)))
    };
    let changed = |r: &MethodResult| {
        let of = |m: &disinherit::ModelResult| m.outcome.selection().changed as f64;
        disinherit::mean(r.models.iter().map(of))
    };
    let class = match variant {
        v if v == Variant::default() => "chosen",
        _ => "",
    };
    format!(
        "<tr class=\"{class}\">{name}{cells}<td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td>\
         </tr>\n",
        mean(|r| Some(r.cost.seconds)).map_or("-".into(), duration),
        mean(|r| r.cost.processor_seconds).map_or("-".into(), duration),
        mean(|r| Some(r.cost.bytes_read as f64)).map_or("-".into(), |b| bytes(b as u64)),
        mean(|r| Some(r.cost.bytes_written as f64)).map_or("-".into(), |b| bytes(b as u64)),
        mean(changed).map_or("-".into(), |n| format!("{n:.0}")),
    )
}

/// The mean, with the standard deviation in brackets where there are several.
fn spread(values: &[f64]) -> String {
    let Some(mean) = disinherit::mean(values.iter().copied()) else {
        return "-".into();
    };
    if values.len() < 2 {
        return number(Some(mean / 100.0));
    }
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    let deviation = (squares / (values.len() - 1) as f64).sqrt();
    format!("{} <i>({deviation:.1})</i>", number(Some(mean / 100.0)))
}
