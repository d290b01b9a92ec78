//! The page a person reads afterwards: one HTML file that opens offline, with the inheritance
//! graph, the tables of models and methods, the plots, and the verdicts in plain words. It needs no
//! script and makes no request. [`csv`] gives the same numbers to other programs.

mod csv;
mod graph;
mod headline;
mod methods;
mod plot;
mod repeat;
mod svg;
mod table;
mod text;
mod verdicts;

use disinherit::Study;

use crate::text::escape;

pub use crate::csv::csv;

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

/// A page or a table that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Settings that cannot be written down.
    #[error("the report cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    /// A table that cannot be written.
    #[error("the table cannot be written: {0}")]
    Csv(String),
    /// Nothing to report on.
    #[error("there is no study to report on")]
    Empty,
}

impl From<::csv::Error> for ReportError {
    fn from(error: ::csv::Error) -> Self {
        Self::Csv(error.to_string())
    }
}

/// The page for a study, or for the same study with several seeds: the first one is shown in
/// detail, all of them make the means.
///
/// # Errors
/// [`ReportError`].
pub fn page(studies: &[Study]) -> Result<String, ReportError> {
    let study = studies.first().ok_or(ReportError::Empty)?;
    let title = format!("{}: forgetting {}", study.title, study.forget);
    let seeds = match studies.len() {
        1 => String::new(),
        count => format!(
            "<p>{count} seeds. The table gives means, with standard deviations in brackets; \
             everything else shows seed {}.</p>\n",
            study.seed
        ),
    };
    let compared = format!("{seeds}{}", methods::table(studies));
    let parts = [
        headline::draw(study),
        section("Who inherited from whom", &graph::draw(study)),
        section("Every model before and after", &table::draw(study)),
        section("The methods beside each other", &compared),
        section("Accuracy, model by model", &plot::accuracies(study)),
        section("What it cost", &plot::costs(study)),
        section("What the verdicts say", &verdicts::draw(study)),
        section("How alpha was chosen", &plot::searches(study)),
        section("What was selected in each layer", &plot::layers(study)),
        section("To repeat this", &repeat::draw(studies)?),
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
