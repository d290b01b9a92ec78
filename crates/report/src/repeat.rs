//! Everything that is needed to repeat a study.

use disinherit::{Study, Variant};

use crate::ReportError;
use crate::text::{duration, escape};

pub(crate) fn draw(studies: &[Study]) -> Result<String, ReportError> {
    let Some(study) = studies.first() else {
        return Ok(String::new());
    };
    let shown = study.result(Variant::default());
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
    if let Some(result) = shown {
        let edit = result.cost.seconds - result.preparation.seconds;
        rows.push(("Request", result.request.clone()));
        rows.push(("Fisher information", duration(result.preparation.seconds)));
        rows.push(("Edit and publication", duration(edit)));
    }
    let list: String = rows
        .iter()
        .map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(value)))
        .collect();
    Ok(format!(
        "<dl>\n{list}</dl>\n{}{}{}{}",
        warnings(study),
        digests(study),
        settings(study)?,
        recipe(study)?
    ))
}

fn warnings(study: &Study) -> String {
    let items: String = study
        .results
        .iter()
        .flat_map(|result| result.warnings.iter().map(move |w| (result.variant, w)))
        .map(|(variant, warning)| format!("<li>{variant}: {}</li>\n", escape(warning)))
        .collect();
    if items.is_empty() {
        return String::new();
    }
    format!("<h3>Warnings</h3>\n<ul>\n{items}</ul>\n")
}

fn digests(study: &Study) -> String {
    let rows: String = study
        .compared()
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
    format!(
        "<details><summary>Digests</summary>\n<div class=\"wide\"><table>\n<tr><th>model</th>\
         <th>before</th><th>after</th></tr>\n{rows}</table></div>\n</details>\n"
    )
}

fn settings(study: &Study) -> Result<String, ReportError> {
    let all: std::collections::BTreeMap<String, _> = study
        .results
        .iter()
        .filter_map(|r| Some((r.variant.to_string(), r.settings.as_ref()?)))
        .collect();
    if all.is_empty() {
        return Ok(String::new());
    }
    Ok(format!(
        "<details><summary>The methods' settings</summary>\n<pre>{}</pre>\n</details>\n",
        escape(&serde_json::to_string_pretty(&all)?)
    ))
}

fn recipe(study: &Study) -> Result<String, ReportError> {
    let Some(recipe) = &study.recipe else {
        return Ok(String::new());
    };
    Ok(format!(
        "<details><summary>The recipe as it was run</summary>\n<pre>{}</pre>\n</details>\n",
        escape(&serde_json::to_string_pretty(recipe)?)
    ))
}
