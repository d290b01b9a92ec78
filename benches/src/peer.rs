//! Peers in Python, measured in the same run where they are installed.

use std::process::{Command, Stdio};

/// The number that a script under `peers/` prints, given its arguments and the number of threads;
/// `None` where it cannot run.
pub(crate) fn number(script: &str, arguments: &[String]) -> Option<f64> {
    let [number] = numbers(script, arguments)?;
    Some(number)
}

/// The interpreter: `python3`, or the one that `DISINHERIT_PYTHON` names.
pub(crate) fn interpreter() -> String {
    std::env::var("DISINHERIT_PYTHON").unwrap_or_else(|_| "python3".into())
}

/// As [`number`], for a script that prints several.
pub(crate) fn numbers<const N: usize>(script: &str, arguments: &[String]) -> Option<[f64; N]> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let output = Command::new(interpreter())
        .arg(format!("{}/peers/{script}", env!("CARGO_MANIFEST_DIR")))
        .args(arguments)
        .arg(threads.to_string())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let list: Option<Vec<f64>> = text.split_whitespace().map(|n| n.parse().ok()).collect();
    list?.try_into().ok()
}

/// What to call a peer in a table.
pub(crate) fn called(name: &str, measured: Option<f64>) -> String {
    match measured {
        Some(_) => name.to_owned(),
        None => format!("{name} (not installed)"),
    }
}

/// What to call PyTorch in a table.
pub(crate) fn torch(measured: Option<f64>) -> &'static str {
    match measured {
        Some(_) => "PyTorch",
        None => "PyTorch (not installed)",
    }
}
