//! What commands print, for people and for machines. All printing goes through this file: unlike
//! `println!` it survives a closed pipe (`disinherit list | head -1`).

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use disinherit::registry::{CheckedOn, LossCheck};
use serde::Serialize;

use crate::error::CliError;

/// The first failure of standard output. What comes after it is dropped.
static FAILED: Mutex<Option<io::Error>> = Mutex::new(None);

fn failed() -> MutexGuard<'static, Option<io::Error>> {
    FAILED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Prints to standard output.
macro_rules! out {
    ($($text:tt)*) => { $crate::output::write(format_args!($($text)*)) };
}

/// Prints a line to standard output.
macro_rules! outln {
    () => { $crate::output::write(format_args!("\n")) };
    ($($text:tt)*) => {
        $crate::output::write(format_args!("{}\n", format_args!($($text)*)))
    };
}

/// Prints a warning to standard error.
macro_rules! warning {
    ($($text:tt)*) => {
        $crate::output::complain(format_args!("warning: {}\n", format_args!($($text)*)))
    };
}

pub(crate) use {out, outln, warning};

/// Writes to standard output; see [`out`] and [`outln`].
pub(crate) fn write(text: fmt::Arguments<'_>) {
    let mut failed = failed();
    if failed.is_none() {
        *failed = io::stdout().lock().write_fmt(text).err();
    }
}

/// Writes to standard error, as far as it is open.
pub(crate) fn complain(text: fmt::Arguments<'_>) {
    let _ = io::stderr().lock().write_fmt(text);
}

/// Ends the output.
///
/// # Errors
/// When it could not be written, for instance to a full disk. A reader that closed the pipe has what
/// it wanted: that is no error.
pub(crate) fn finish() -> Result<(), CliError> {
    let mut failed = failed();
    if failed.is_none() {
        *failed = io::stdout().lock().flush().err();
    }
    match failed.take() {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => Err(CliError::output(error)),
        _ => Ok(()),
    }
}

/// Prints one JSON object.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<(), CliError> {
    outln!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// An accuracy as a percentage, or a dash.
pub(crate) fn percent(value: Option<f64>) -> String {
    value.map_or("-".into(), |value| format!("{:.1}", value * 100.0))
}

/// What an edit cost in retained accuracy.
pub(crate) fn loss(check: &LossCheck) -> String {
    let Some(measured) = check.measured() else {
        return "not measured".to_owned();
    };
    let on = match measured.on {
        CheckedOn::KeptApart => "kept apart",
        CheckedOn::Training => "that the choice saw",
        CheckedOn::HeldOut => "held out",
    };
    format!(
        "{:.1} points, from {:.1} to {:.1} % of {} retained samples {on}",
        100.0 * measured.loss(),
        100.0 * measured.before(),
        100.0 * measured.after(),
        grouped(measured.samples)
    )
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

/// The first characters of a digest, enough to tell it from others on a screen.
pub(crate) fn short(digest: &str) -> String {
    digest.chars().take(12).collect()
}

/// Names with commas between them.
pub(crate) fn joined<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let list: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    list.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_readable() {
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(percent(Some(0.1234)), "12.3");
        assert_eq!(percent(None), "-");
        assert_eq!(time(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(joined(["a", "b"]), "a, b");
    }
}
