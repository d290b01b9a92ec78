//! The plots: accuracies, times, the search for alpha, what was selected in each layer.

use std::collections::BTreeMap;
use std::fmt::Write;

use disinherit::{MethodResult, ModelOutcome, Scores, Study};
use fiun::{Selection, Trial};
use umig::Role;

use crate::svg::{CLOSE, HEIGHT, LEFT, Rows, TOP, open, open_percent};
use crate::text::{duration, escape, percent};

const ROWS: Rows = Rows {
    left: 130.0,
    right: 470.0,
    step: 20.0,
};
const WIDTH: f64 = 490.0;

/// Layers shown at most.
const LAYERS: usize = 60;

/// Held-out accuracy of every touched model under every method: one chart for the forgotten
/// classes, one for the rest.
pub(crate) fn accuracies(study: &Study) -> String {
    let forget = dots(study, "on the forgotten classes, held out", |scores| {
        scores.forget.heldout
    });
    let retain = dots(study, "on the retained classes, held out", |scores| {
        scores.retain.heldout
    });
    format!(
        "<p>One dot for each touched model; point at it for its name.</p>\n<div class=\"pair\">\n\
         {forget}{retain}</div>\n"
    )
}

type Dots = Vec<(String, f64)>;

fn dots(study: &Study, title: &str, pick: fn(&Scores) -> Option<f64>) -> String {
    let touched = study.models.iter().filter(|m| m.role != Role::Untouched);
    let before: Dots = touched
        .filter_map(|m| Some((m.id.name().to_owned(), pick(&m.before.scores)?)))
        .collect();
    let mut rows: Vec<(String, &str, Dots)> = vec![("before".into(), "before", before)];
    for result in study.results.iter().filter(|r| r.failed.is_none()) {
        let of = |model: &disinherit::ModelResult| {
            let value = pick(&model.verdicts.scores)?;
            Some((model.id.name().to_owned(), value))
        };
        let dots = result.models.iter().filter_map(of).collect();
        rows.push((result.variant.to_string(), class(result), dots));
    }
    let mut out = open(title, "accuracies", WIDTH, ROWS.height(rows.len()));
    for step in 0..=4 {
        let text = format!("{} %", step * 25);
        ROWS.mark(&mut out, rows.len(), f64::from(step) / 4.0, &text);
    }
    for (row, (name, class, dots)) in rows.iter().enumerate() {
        ROWS.name(&mut out, row, name);
        for (model, value) in dots {
            // Writing to a string cannot fail.
            let _ = writeln!(
                out,
                "<circle class=\"{class}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4.5\"><title>{} {}: {}\
                 </title></circle>",
                ROWS.x(*value),
                ROWS.middle(row),
                escape(name),
                escape(model),
                percent(Some(*value))
            );
        }
    }
    out.push_str(CLOSE);
    out
}

/// The colour of a method.
fn class(result: &MethodResult) -> &'static str {
    match result.variant.method {
        disinherit::Method::Fiun => "after",
        disinherit::Method::Retrain => "retrained",
        _ => "rival",
    }
}

/// Wall time of every method on a logarithmic scale, with a mark at 1 % of retraining's.
pub(crate) fn costs(study: &Study) -> String {
    let rows: Vec<&MethodResult> = study
        .results
        .iter()
        .filter(|r| r.failed.is_none() && r.cost.seconds > 0.0)
        .collect();
    let logs = rows.iter().map(|r| r.cost.seconds.log10());
    let low = logs.clone().fold(f64::INFINITY, f64::min).floor();
    let high = logs.fold(f64::NEG_INFINITY, f64::max).ceil().max(low + 1.0);
    if rows.is_empty() {
        return "<p>No time was measured.</p>\n".into();
    }
    let share = |seconds: f64| (seconds.log10() - low) / (high - low);
    let mut out = open(
        "wall time of all touched models together, logarithmic",
        "costs",
        WIDTH,
        ROWS.height(rows.len()),
    );
    for power in low as i32..=high as i32 {
        let seconds = 10f64.powi(power);
        ROWS.mark(&mut out, rows.len(), share(seconds), &duration(seconds));
    }
    let retrain = study.result(disinherit::Method::Retrain.into());
    for (row, result) in rows.iter().enumerate() {
        ROWS.name(&mut out, row, &result.variant.to_string());
        let end = ROWS.x(share(result.cost.seconds));
        let of = retrain.map_or(String::new(), |retrain| {
            let ratio = result.cost.seconds / retrain.cost.seconds * 100.0;
            format!(", {ratio:.2} % of retraining")
        });
        let _ = writeln!(
            out,
            "<rect class=\"{}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"12\"><title>{}: \
             {}{of}</title></rect>",
            class(result),
            ROWS.left,
            ROWS.middle(row) - 6.0,
            (end - ROWS.left).max(1.0),
            result.variant,
            duration(result.cost.seconds)
        );
    }
    if let Some(retrain) = retrain {
        let bound = share(retrain.cost.seconds / 100.0);
        if (0.0..=1.0).contains(&bound) {
            let x = ROWS.x(bound);
            let _ = writeln!(
                out,
                "<line class=\"chosen\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{:.1}\">\
                 <title>1 % of retraining</title></line>",
                TOP + rows.len() as f64 * ROWS.step
            );
        }
    }
    out.push_str(CLOSE);
    format!("{out}<p>The dashed line is 1 % of retraining's time.</p>\n")
}

/// The share of parameters that a dampening method changed, tensor by tensor.
pub(crate) fn layers(study: &Study) -> String {
    let charts: String = study
        .results
        .iter()
        .filter(|r| r.variant.method.dampens() && r.failed.is_none())
        .map(layer_chart)
        .collect();
    if charts.is_empty() {
        return "<p>No method dampened.</p>\n".into();
    }
    format!(
        "<p>Share of each tensor's parameters that were selected, over all touched models.</p>\n\
         <div class=\"pair\">\n{charts}</div>\n"
    )
}

fn layer_chart(result: &MethodResult) -> String {
    let mut tensors: BTreeMap<&String, Selection> = BTreeMap::new();
    for model in &result.models {
        for (name, selection) in &model.outcome.tensors {
            let sum = tensors.entry(name).or_default();
            *sum = sum.plus(*selection);
        }
    }
    let top = tensors.values().map(|s| s.share()).fold(1e-9, f64::max);
    let shown: Vec<_> = tensors.iter().take(LAYERS).collect();
    let rows = Rows {
        left: 190.0,
        ..ROWS
    };
    let title = match tensors.len().checked_sub(LAYERS) {
        Some(more) if more > 0 => format!("{} (the first {LAYERS} tensors)", result.variant),
        _ => result.variant.to_string(),
    };
    let mut out = open(&title, "layers", WIDTH, rows.height(shown.len()));
    for step in 0..=2 {
        let share = f64::from(step) / 2.0;
        let text = format!("{:.1} %", share * top * 100.0);
        rows.mark(&mut out, shown.len(), share, &text);
    }
    for (row, (name, selection)) in shown.iter().enumerate() {
        rows.name(&mut out, row, name);
        let _ = writeln!(
            out,
            "<rect class=\"after\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"12\"><title>{}: \
             {} of {} selected</title></rect>",
            rows.left,
            rows.middle(row) - 6.0,
            (rows.x(selection.share() / top) - rows.left).max(0.5),
            escape(name),
            selection.selected,
            selection.parameters
        );
    }
    out.push_str(CLOSE);
    out
}

/// For every model whose alpha was searched, accuracy over alpha with the chosen value marked.
pub(crate) fn searches(study: &Study) -> String {
    let outcomes = study
        .results
        .iter()
        .filter(|r| r.variant == disinherit::Variant::default())
        .flat_map(|r| r.models.iter().map(|m| &m.outcome));
    let charts: String = outcomes.filter_map(search).collect();
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
    let alpha = outcome.alpha?;
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
    let mut out = open_percent(&outcome.before.to_string(), "search", width);
    let chosen = x(alpha);
    let _ = writeln!(
        out,
        "<line class=\"chosen\" x1=\"{chosen:.1}\" x2=\"{chosen:.1}\" y1=\"{TOP}\" y2=\"{:.1}\">\
         <title>alpha {alpha:.3}</title></line>\n<polyline class=\"before\" points=\"{}\"/>\n\
         <polyline class=\"retrained\" points=\"{}\"/>",
        TOP + HEIGHT,
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
    out.push_str(CLOSE);
    Some(out)
}
