//! The page a person reads afterwards: one HTML file that opens offline, with the inheritance
//! graph, the table of models, the accuracy plot and the search for alpha. It needs no script and
//! makes no request.

mod graph;
mod plot;
mod table;
mod text;

use disinherit::Study;
use umig::Umig;

use crate::text::{escape, percent};

/// What last-layer forgetting is and is not, in one sentence.
const HEAD_ONLY: &str = "Only the last layer was edited: the models no longer name the forgotten \
class, but their inner features still tell its samples apart, so whoever trains a new last layer \
on such samples can bring it back.";

/// What an edit of these layers does not promise.
pub fn honest(layers: &disinherit::Layers) -> String {
    match layers {
        disinherit::Layers::Head => HEAD_ONLY.to_owned(),
        other => format!(
            "The layers `{other}` were edited. Whether the inner features still tell the forgotten \
             class's samples apart has not been measured here; only a comparison with the \
             retrained models would say."
        ),
    }
}

/// A page that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A study that speaks of models which the graph does not have.
    #[error("the report cannot be drawn: the graph has no model `{0}`")]
    UnknownModel(String),
    /// Settings that cannot be written down.
    #[error("the report cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

/// The page for a study, whose models are in `graph`.
///
/// # Errors
/// [`ReportError`] when the study and the graph do not belong together.
pub fn page(study: &Study, graph: &Umig) -> Result<String, ReportError> {
    let title = format!(
        "{}: forgetting {}",
        study.recipe.name,
        study.forget.join(", ")
    );
    let parts = [
        headline(study),
        section("Who inherited from whom", &graph::draw(study, graph)?),
        section("Every model before and after", &table::draw(study)),
        section("Accuracy on held-out data", &plot::accuracies(study)),
        section("How alpha was chosen", &plot::searches(study)),
        section("To repeat this", &repeat(study)?),
    ];
    Ok(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n\
         <h1>{title}</h1>\n{body}</main>\n</body>\n</html>\n",
        title = escape(&title),
        style = include_str!("style.css"),
        body = parts.concat(),
    ))
}

fn section(title: &str, body: &str) -> String {
    format!("<section>\n<h2>{}</h2>\n{body}</section>\n", escape(title))
}

/// Did it forget, what did it cost, can it be trusted.
fn headline(study: &Study) -> String {
    let touched: Vec<_> = study
        .models
        .iter()
        .filter(|model| model.role != umig::Role::Untouched)
        .collect();
    let remembered = touched
        .iter()
        .filter_map(|model| model.after.forget.heldout)
        .fold(None, |worst: Option<f64>, value| {
            Some(worst.map_or(value, |w| w.max(value)))
        });
    let lost = touched
        .iter()
        .filter_map(|m| Some(m.before.retain.heldout? - m.after.retain.heldout?))
        .fold(None, |worst: Option<f64>, value| {
            Some(worst.map_or(value, |w| w.max(value)))
        });
    let untouched = study
        .models
        .iter()
        .filter(|m| m.role == umig::Role::Untouched);
    let same = untouched
        .clone()
        .all(|model| model.digest_before == model.digest_after);
    let seconds = study.seconds.fisher + study.seconds.unlearn;
    let cost = match study.time_ratio() {
        Some(ratio) => format!("{:.2} % of the time of retraining", ratio * 100.0),
        None => "retraining was not measured".to_owned(),
    };
    let card = |class: &str, value: String, words: String| {
        format!(
            "<div class=\"card {class}\"><b>{value}</b><span>{}</span></div>\n",
            escape(&words)
        )
    };
    let verdict = match remembered {
        Some(worst) if worst <= disinherit::FORGOTTEN => "good",
        _ => "bad",
    };
    format!(
        "<div class=\"cards\">\n{}{}{}{}</div>\n<p class=\"honest\">{}</p>\n",
        card(
            verdict,
            percent(remembered),
            format!(
                "worst held-out accuracy left on the forgotten class, over {} models",
                touched.len()
            ),
        ),
        card(
            if lost.is_some_and(|lost| lost > 0.02) {
                "bad"
            } else {
                "good"
            },
            lost.map_or("-".into(), |lost| format!(
                "{:+.1}",
                0.0 - (lost * 1000.0).round() / 10.0
            )),
            "points: the worst change of held-out accuracy on the retained classes".into(),
        ),
        card("", format!("{seconds:.3} s"), cost),
        card(
            if same { "good" } else { "bad" },
            untouched.count().to_string(),
            if same {
                "untouched models, byte for byte what they were".into()
            } else {
                "untouched models, and they CHANGED".to_owned()
            },
        ),
        escape(&honest(&study.layers)),
    )
}

fn repeat(study: &Study) -> Result<String, ReportError> {
    let seconds = &study.seconds;
    let mut rows = vec![
        (
            "Version",
            format!("disinherit {}", env!("CARGO_PKG_VERSION")),
        ),
        ("Recipe", study.recipe.name.clone()),
        ("Seed", study.recipe.seed.to_string()),
        ("Data", study.recipe.data.source.clone()),
        ("Network", study.recipe.network.architecture.to_string()),
        ("Device", study.device.clone()),
        ("Request", study.unlearned.request.clone()),
        ("Fisher information", format!("{:.3} s", seconds.fisher)),
        ("Edit and publication", format!("{:.3} s", seconds.unlearn)),
    ];
    if let Some(retrain) = seconds.retrain {
        rows.push(("Retraining", format!("{retrain:.1} s")));
    }
    let list: String = rows
        .iter()
        .map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(value)))
        .collect();
    let warnings: String = study
        .unlearned
        .warnings
        .iter()
        .map(|warning| format!("<li>{}</li>\n", escape(warning)))
        .collect();
    let warnings = if warnings.is_empty() {
        String::new()
    } else {
        format!("<h3>Warnings</h3>\n<ul>\n{warnings}</ul>\n")
    };
    let digests: String = study
        .models
        .iter()
        .map(|model| {
            format!(
                "<tr><td>{}</td><td><code>{}</code></td><td><code>{}</code></td></tr>\n",
                escape(&model.name),
                model.digest_before,
                model.digest_after
            )
        })
        .collect();
    let recipe = serde_json::to_string_pretty(&study.recipe)?;
    Ok(format!(
        "<dl>\n{list}</dl>\n{warnings}<details><summary>Digests</summary>\n<div class=\"wide\">\
         <table>\n<tr><th>model</th><th>before</th><th>after</th></tr>\n{digests}</table></div>\n\
         </details>\n<details><summary>The recipe as it was run</summary>\n<pre>{}</pre>\n\
         </details>\n",
        escape(&recipe)
    ))
}
