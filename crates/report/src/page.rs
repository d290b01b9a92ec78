//! The page, from its parts.

use disinherit_lab::Study;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::error::ReportError;
use crate::plot::{accuracy, cost, inside, layers, search};
use crate::shape::DRAWING_STYLE;
use crate::text::{marked, plain};

/// The page of a study, or of the same study with several seeds: the first one is shown in detail,
/// all of them make the means. It needs no script and makes no request.
///
/// # Errors
/// [`ReportError::Empty`] without a study, [`ReportError::Json`] when settings cannot be written.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let results = include_str!("../tests/data/studies.json");
/// let studies: Vec<disinherit_lab::Study> = serde_json::from_str(results)?;
/// let page = disinherit_report::page(&studies)?;
/// assert!(page.starts_with("<!DOCTYPE html>"));
/// # Ok(())
/// # }
/// ```
pub fn page(studies: &[Study]) -> Result<String, ReportError> {
    let study = studies.first().ok_or(ReportError::Empty)?;
    let title = format!("{}: forgetting {}", study.title, study.forget);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (plain(&title)) }
                style { (PreEscaped(DRAWING_STYLE)) (PreEscaped(include_str!("style.css"))) }
            }
            body { main {
                h1 { (marked(&title)) }
                (crate::headline::draw(study))
                (section("How far it is forgotten", inside::draw(study)))
                (section("Who inherited from whom", crate::graph::draw(study)))
                (section("Every model before and after", crate::models::draw(study)))
                (section("Methods compared", compared(studies)))
                @if let Some(shadows) = crate::shadows::draw(studies) {
                    (section("Beside retrained models of other seeds", shadows))
                }
                (section("Accuracy, model by model", accuracy::draw(study)))
                (section("What it cost", cost::draw(study)))
                (section("What the verdicts say", crate::verdicts::draw(study)))
                (section("How alpha was chosen", search::draw(study)))
                (section("What was selected in each layer", layers::draw(study)))
                (section("To repeat this", crate::repeat::draw(studies)?))
            } }
        }
    };
    Ok(page.into_string())
}

fn section(title: &str, body: Markup) -> Markup {
    html! { section { h2 { (title) } (body) } }
}

fn compared(studies: &[Study]) -> Markup {
    html! {
        @if let [first, _, ..] = studies {
            p {
                (studies.len()) " seeds. The table gives means, with standard deviations in "
                "brackets; everything else shows seed " (first.seed) "."
            }
        }
        (crate::methods::draw(studies))
    }
}
