//! Peers in Python, measured in the same run where they are installed.

use std::process::{Command, Stdio};

/// The number that a script under `peers/` prints, given its arguments and the number of threads;
/// `None` where it cannot run.
pub(crate) fn number(script: &str, arguments: &[String]) -> Option<f64> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let output = Command::new("python3")
        .arg(format!("{}/peers/{script}", env!("CARGO_MANIFEST_DIR")))
        .args(arguments)
        .arg(threads.to_string())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

/// What to call PyTorch in a table.
pub(crate) fn torch(measured: Option<f64>) -> &'static str {
    match measured {
        Some(_) => "PyTorch",
        None => "PyTorch (not installed)",
    }
}
