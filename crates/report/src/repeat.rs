//! Everything that is needed to repeat a study.

use std::collections::BTreeMap;

use disinherit_lab::Study;
use maud::{Markup, html};

use crate::error::ReportError;
use crate::text::{duration, marked};

pub(crate) fn draw(studies: &[Study]) -> Result<Markup, ReportError> {
    let study = studies.first().ok_or(ReportError::Empty)?;
    Ok(html! {
        dl { @for (name, value) in facts(studies, study) { dt { (name) } dd { (value) } } }
        (warnings(study))
        (digests(study))
        (settings(study)?)
        (recipe(study)?)
    })
}

fn facts(studies: &[Study], study: &Study) -> Vec<(&'static str, String)> {
    let seeds: Vec<String> = studies.iter().map(|s| s.seed.to_string()).collect();
    let mut rows = vec![
        ("Version", format!("disinherit {}", study.version)),
        ("Seeds", seeds.join(", ")),
        ("Device", study.device.clone()),
    ];
    if let Some(recipe) = &study.recipe {
        rows.push(("Recipe", recipe.name.clone()));
        rows.push(("Data", recipe.data.source.clone()));
        rows.push(("Network", recipe.network.architecture.to_string()));
    }
    if let Some(result) = study.shown() {
        let edit = result.cost.seconds - result.preparation.seconds;
        rows.push(("Request", result.request.to_string()));
        rows.push(("Fisher information", duration(result.preparation.seconds)));
        rows.push(("Edit and publication", duration(edit)));
    }
    rows
}

fn warnings(study: &Study) -> Markup {
    let warnings: Vec<String> = study
        .results
        .iter()
        .flat_map(|result| result.warnings.iter().map(move |w| (result.variant, w)))
        .map(|(variant, warning)| format!("{variant}: {warning}"))
        .collect();
    html! {
        @if !warnings.is_empty() {
            h3 { "Warnings" }
            ul { @for warning in &warnings { li { (marked(warning)) } } }
        }
    }
}

fn digests(study: &Study) -> Markup {
    html! {
        details {
            summary { "Digests" }
            div class="wide" { table {
                tr { th { "model" } th { "before" } th { "after" } }
                @for model in study.compared() {
                    tr {
                        td { (model.name) }
                        td { code { (model.digest_before.to_string()) } }
                        td { code { (model.digest_after.to_string()) } }
                    }
                }
            } }
        }
    }
}

fn settings(study: &Study) -> Result<Markup, ReportError> {
    let all: BTreeMap<String, _> = study
        .results
        .iter()
        .filter_map(|r| Some((r.variant.to_string(), r.settings.as_ref()?)))
        .collect();
    let text = serde_json::to_string_pretty(&all)?;
    Ok(html! {
        @if !all.is_empty() {
            details { summary { "The methods' settings" } pre { (text) } }
        }
    })
}

fn recipe(study: &Study) -> Result<Markup, ReportError> {
    let Some(recipe) = &study.recipe else {
        return Ok(Markup::default());
    };
    let text = serde_json::to_string_pretty(recipe)?;
    Ok(html! { details { summary { "The recipe as it was run" } pre { (text) } } })
}
