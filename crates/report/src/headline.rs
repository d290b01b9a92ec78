//! Did it forget, what did it cost, can it be trusted: in one look.

use disinherit::{Method, Study, Variant};
use umig::Role;

use crate::text::{duration, escape, percent};
use crate::verdicts::{Depth, depth};

/// The loss of retained accuracy, in shares, that is marked as bad.
const LOSS: f64 = 0.02;

pub(crate) fn draw(study: &Study) -> String {
    let compared = study.compared();
    let touched: Vec<_> = compared
        .iter()
        .filter(|m| m.role != Role::Untouched)
        .collect();
    let worst = touched
        .iter()
        .filter_map(|m| m.after.forget.heldout)
        .reduce(f64::max);
    let lost = touched
        .iter()
        .filter_map(|m| Some(m.before.retain.heldout? - m.after.retain.heldout?))
        .reduce(f64::max);
    let shown = study.result(Variant::default());
    let seconds = shown.map(|result| result.cost.seconds);
    let untouched = compared.len() - touched.len();
    let same = study.untouched_are_same();
    let forgotten = match worst {
        Some(worst) if worst <= disinherit::FORGOTTEN => "good",
        _ => "bad",
    };
    let cost = match study.time_ratio(Variant::default()) {
        Some(ratio) => format!("{:.2} % of the time of retraining", ratio * 100.0),
        None => "retraining was not measured".to_owned(),
    };
    let (class, trust, words) = trust(study);
    let layers = shown
        .and_then(|r| r.models.first())
        .is_none_or(|m| m.outcome.tensors.len() <= 2);
    format!(
        "<div class=\"cards\">\n{}{}{}{}{}</div>\n<p class=\"honest\">{}</p>\n",
        card(
            forgotten,
            &percent(worst),
            &format!(
                "worst held-out accuracy left on the forgotten class, over {} models",
                touched.len()
            ),
        ),
        card(
            if lost.is_some_and(|lost| lost > LOSS) {
                "bad"
            } else {
                "good"
            },
            &lost.map_or("-".into(), |lost| format!(
                "{:+.1}",
                0.0 - (lost * 1000.0).round() / 10.0
            )),
            "points: the worst change of held-out accuracy on the retained classes",
        ),
        card("", &seconds.map_or("-".into(), duration), &cost),
        card(class, trust, words),
        card(
            if same { "good" } else { "bad" },
            &untouched.to_string(),
            if same {
                "untouched models, byte for byte what they were"
            } else {
                "untouched models, and they CHANGED"
            },
        ),
        escape(&crate::honest(if layers {
            &disinherit::Layers::Head
        } else {
            &disinherit::Layers::All
        })),
    )
}

fn card(class: &str, value: &str, words: &str) -> String {
    format!(
        "<div class=\"card {class}\"><b>{}</b><span>{}</span></div>\n",
        escape(value),
        escape(words)
    )
}

fn trust(study: &Study) -> (&'static str, &'static str, &'static str) {
    let unknown = (
        "",
        "unknown",
        "how deep: there is no retrained model to compare with",
    );
    let Some(shown) = study.result(Variant::default()) else {
        return unknown;
    };
    match depth(study, shown) {
        Depth::Deep => (
            "good",
            "deep",
            "no more is left inside than in the retrained models",
        ),
        Depth::SkinDeep => (
            "warn",
            "skin-deep",
            "outputs have forgotten, inner features hold more than those of retrained models",
        ),
        Depth::NotForgotten => ("bad", "NOT forgotten", "some model still names the class"),
        Depth::Unknown if study.result(Method::Retrain.into()).is_some() => {
            ("", "not judged", "no verdict looked inside the models")
        }
        Depth::Unknown => unknown,
    }
}
