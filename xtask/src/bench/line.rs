//! What the benchmarks print.

use serde::Deserialize;

/// One measured line.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Line {
    pub(crate) name: String,
    /// Nothing where it could not be measured.
    pub(crate) ours: Option<f64>,
    /// That of a peer or a limit, measured in the same run.
    pub(crate) other: Option<f64>,
    /// What that is.
    pub(crate) against: String,
    pub(crate) ratio: Option<f64>,
    pub(crate) unit: String,
}

impl Line {
    /// What tells a line from others: a peer that is not installed makes no other line.
    pub(crate) fn key(&self) -> (&str, &str, &str) {
        let against = self.against.trim_end_matches(" (not installed)");
        (&self.name, &self.unit, against)
    }
}

/// Reads lines of JSON.
pub(crate) fn read(text: &str) -> Result<Vec<Line>, String> {
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| {
            serde_json::from_str(line).map_err(|error| {
                let number = number + 1;
                format!("line {number} is none that `--json` writes: {error}")
            })
        })
        .collect()
}

/// Three digits that count.
pub(crate) fn digits(number: f64) -> String {
    let places = match number.abs() {
        n if n >= 100.0 => 0,
        n if n >= 10.0 => 1,
        n if n >= 1.0 => 2,
        n if n >= 0.1 => 3,
        _ => 5,
    };
    format!("{number:.places$}")
}
