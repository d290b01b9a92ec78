//! What commands print, for people and for machines.

use serde::Serialize;

use crate::error::CliError;

/// Prints one JSON object.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<(), CliError> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// An accuracy as a percentage, or a dash.
pub(crate) fn percent(value: Option<f64>) -> String {
    value.map_or("-".into(), |value| format!("{:.1}", value * 100.0))
}

/// A time as a person reads it.
pub(crate) fn time(milliseconds: u64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds as i64).map_or_else(
        |_| milliseconds.to_string(),
        |t| t.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// A number with thousands set apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
