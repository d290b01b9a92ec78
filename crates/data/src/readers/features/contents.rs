//! What one file of features holds, whatever its format.

use crate::samples::FeatureTable;

/// A matrix: its shape, and its values.
pub(super) type Values = ([usize; 2], Vec<f32>);

/// One file's contents.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) table: Option<FeatureTable>,
    pub(super) labels: Vec<u32>,
    pub(super) names: Option<Vec<String>>,
    pub(super) ids: Option<Vec<String>>,
    pub(super) heldout: Option<Vec<bool>>,
}

/// Checks that all parts are of the same number of samples.
pub(super) fn checked(contents: Contents) -> Result<Contents, String> {
    let count = contents.labels.len();
    if count == 0 {
        return Err("it holds no samples".into());
    }
    let lengths = [
        ("ids", contents.ids.as_ref().map(Vec::len)),
        (
            "marks of held-out samples",
            contents.heldout.as_ref().map(Vec::len),
        ),
    ];
    for (what, length) in lengths {
        if length.is_some_and(|length| length != count) {
            return Err(format!(
                "it has {} {what} for {count} labels",
                length.unwrap_or_default()
            ));
        }
    }
    Ok(contents)
}

pub(super) fn table(
    models: Vec<String>,
    [rows, width]: [usize; 2],
    values: Vec<f32>,
    logits: Option<Values>,
    labels: usize,
) -> Result<FeatureTable, String> {
    if rows != labels {
        return Err(format!(
            "it has features of {rows} samples and {labels} labels"
        ));
    }
    let logits = match logits {
        Some(([rows, _], _)) if rows != labels => {
            return Err(format!(
                "it has logits of {rows} samples and {labels} labels"
            ));
        }
        Some((_, values)) => values,
        None => Vec::new(),
    };
    Ok(FeatureTable {
        models,
        width,
        values,
        logits,
    })
}

/// Names in a list of JSON, or divided by commas.
pub(super) fn listed(text: &str) -> Result<Vec<String>, String> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text).map_err(|error| format!("a list of names: {error}"));
    }
    Ok(text.split(',').map(|name| name.trim().to_owned()).collect())
}

pub(super) fn label(value: i64) -> Result<u32, String> {
    u32::try_from(value).map_err(|_| format!("the label {value} is out of range"))
}
