//! Chores of the workspace: `cargo xtask bench [NAME] [--json]`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::{Command, ExitCode, Stdio};

use clap::{Parser, Subcommand};
use comfy_table::{CellAlignment, Table, presets};
use serde_json::Value;

/// Chores of the workspace.
#[derive(Debug, Parser)]
struct Chores {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Run the benchmarks and print name, ours, peer or limit, ratio and unit.
    Bench {
        /// Only this one.
        name: Option<String>,
        /// Print one JSON object a line.
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let Chore::Bench { name, json } = Chores::parse().chore;
    match bench(name, json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

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

fn bench(name: Option<String>, json: bool) -> Result<(), String> {
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
