//! The benchmarks as a table.

use std::process::{Command, Stdio};

use comfy_table::{CellAlignment, Table, presets};
use serde_json::Value;

/// Three digits that count.
fn digits(number: f64) -> String {
    let places = match number.abs() {
        n if n >= 100.0 => 0,
        n if n >= 10.0 => 1,
        n if n >= 1.0 => 2,
        n if n >= 0.1 => 3,
        _ => 5,
    };
    format!("{number:.places$}")
}

/// Runs the benchmarks, all or one, and prints a table or their lines of JSON. They are built with optimisation
/// whatever xtask itself was built with.
pub(crate) fn bench(name: Option<String>, json: bool) -> Result<(), String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["run", "--quiet", "--release", "--package", "benches", "--"])
        .args(name)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot run the benchmarks: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err("the benchmarks failed".into());
    }
    if json {
        print!("{text}");
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["name", "ours", "other", "ratio", "unit", "against"]);
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let number = |key: &str| line[key].as_f64().map_or("-".into(), digits);
        let words = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
        table.add_row([
            words("name"),
            number("ours"),
            number("other"),
            number("ratio"),
            words("unit"),
            words("against"),
        ]);
    }
    for column in table.column_iter_mut().skip(1).take(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
    Ok(())
}
