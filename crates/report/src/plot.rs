//! The plots: accuracies as bars, the search for alpha as curves.

use std::fmt::Write;

use disinherit::{ModelOutcome, Scores, Study, StudyModel};
use fiun::Trial;

use crate::text::{escape, percent};

const HEIGHT: f64 = 180.0;
const TOP: f64 = 12.0;
const LEFT: f64 = 44.0;
const BAR: f64 = 14.0;

/// Held-out accuracy of every model, before, after and retrained: one chart for the forgotten
/// class, one for the rest.
pub(crate) fn accuracies(study: &Study) -> String {
    let forget = bars(study, "on the forgotten class", |scores| {
        scores.forget.heldout
    });
    let retain = bars(study, "on the retained classes", |scores| {
        scores.retain.heldout
    });
    format!(
        "<p class=\"legend\"><span class=\"before\">before</span> <span class=\"after\">after\
         </span> <span class=\"retrained\">retrained</span></p>\n<div class=\"pair\">\n{forget}\
         {retain}</div>\n"
    )
}

fn bars(study: &Study, title: &str, pick: fn(&Scores) -> Option<f64>) -> String {
    let group = 3.0 * BAR + 22.0;
    let width = LEFT + group * study.models.len() as f64 + 8.0;
    let mut out = open(title, "accuracies", width);
    for (index, model) in study.models.iter().enumerate() {
        let x = LEFT + 12.0 + group * index as f64;
        for (place, (class, scores)) in stages(model).into_iter().enumerate() {
            if let Some(value) = pick(scores) {
                let height = value * HEIGHT;
                // Writing to a string cannot fail.
                let _ = writeln!(
                    out,
                    "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{BAR}\" \
                     height=\"{:.1}\"><title>{} {class}: {}</title></rect>",
                    x + place as f64 * BAR,
                    TOP + HEIGHT - height.max(1.0),
                    height.max(1.0),
                    escape(&model.name),
                    percent(Some(value))
                );
            }
        }
        let _ = writeln!(
            out,
            "<text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            x + 1.5 * BAR,
            TOP + HEIGHT + 16.0,
            escape(&model.name)
        );
    }
    out.push_str("</svg></figure>\n");
    out
}

fn stages(model: &StudyModel) -> [(&'static str, &Scores); 3] {
    [
        ("before", &model.before),
        ("after", &model.after),
        ("retrained", &model.retrained),
    ]
}

/// For every model whose alpha was searched, accuracy over alpha with the chosen value marked.
pub(crate) fn searches(study: &Study) -> String {
    let charts: String = study.unlearned.models.iter().filter_map(search).collect();
    if charts.is_empty() {
        return "<p>Alpha was given or taken by rule; nothing was searched.</p>\n".into();
    }
    format!(
        "<p class=\"legend\"><span class=\"before\">forgotten class</span> <span \
         class=\"retrained\">retained classes</span> <span class=\"chosen\">chosen</span></p>\n\
         <p>Accuracy on the samples that the search saw, over the threshold alpha (logarithmic). \
         To the left more parameters are dampened.</p>\n<div class=\"pair\">\n{charts}</div>\n"
    )
}

fn search(outcome: &ModelOutcome) -> Option<String> {
    let curve = &outcome.choice.as_ref()?.curve;
    let (low, high) = (curve.first()?.alpha.ln(), curve.last()?.alpha.ln());
    let width = 300.0;
    let x = |alpha: f64| LEFT + (alpha.ln() - low) / (high - low).max(1e-9) * (width - LEFT - 10.0);
    let line = |pick: fn(&Trial) -> f64| -> String {
        curve
            .iter()
            .map(|trial| {
                format!(
                    "{:.1},{:.1} ",
                    x(trial.alpha),
                    TOP + (1.0 - pick(trial)) * HEIGHT
                )
            })
            .collect()
    };
    let mut out = open(&outcome.before.to_string(), "search", width);
    let chosen = x(outcome.alpha);
    let _ = writeln!(
        out,
        "<line class=\"chosen\" x1=\"{chosen:.1}\" x2=\"{chosen:.1}\" y1=\"{TOP}\" y2=\"{:.1}\">\
         <title>alpha {:.3}</title></line>\n<polyline class=\"before\" points=\"{}\"/>\n\
         <polyline class=\"retrained\" points=\"{}\"/>",
        TOP + HEIGHT,
        outcome.alpha,
        line(|trial| trial.forget),
        line(|trial| trial.retain)
    );
    for (anchor, at) in [(low, LEFT), (high, width - 24.0)] {
        let _ = writeln!(
            out,
            "<text class=\"tick\" x=\"{at:.1}\" y=\"{:.1}\">{:.2}</text>",
            TOP + HEIGHT + 16.0,
            anchor.exp()
        );
    }
    out.push_str("</svg></figure>\n");
    Some(out)
}

/// A figure with its caption, the axis and the grid of percentages.
fn open(title: &str, class: &str, width: f64) -> String {
    let mut out = format!(
        "<figure><figcaption>{title}</figcaption><svg class=\"plot {class}\" viewBox=\"0 0 \
         {width:.0} {:.0}\" width=\"{width:.0}\" role=\"img\" aria-label=\"{title}\">\n",
        TOP + HEIGHT + 24.0,
        title = escape(title)
    );
    for step in 0..=4 {
        let y = TOP + HEIGHT * f64::from(step) / 4.0;
        let _ = writeln!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{width:.0}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            100 - step * 25
        );
    }
    out
}
