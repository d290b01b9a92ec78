//! The benchmarks: as a table, as lines of JSON, or beside figures of before.

mod compare;
mod line;
mod verdict;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::Args;
use comfy_table::{CellAlignment, Table, presets};

use self::compare::compare;
use self::line::{Line, digits, read};

/// Runs of a comparison: the fewest in which ranks can tell anything with an error of one in a hundred.
const ROUNDS: u32 = 5;

/// What to measure, and what to do with it.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Only this one.
    name: Option<String>,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
    /// How often everything is run; 5 times with --compare, once otherwise.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// Compare with a file that --json wrote, of at least 5 rounds. Exits with 1 on a clear regression.
    #[arg(long, value_name = "BASE")]
    compare: Option<PathBuf>,
}

/// Runs the benchmarks, all or one. They are built with optimisation whatever xtask itself was built with. Says
/// whether nothing regressed.
pub(crate) fn bench(args: &BenchArgs) -> Result<bool, String> {
    // First: what cannot be read is told before anything is measured.
    let before = match &args.compare {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            Some(read(&text).map_err(|reason| format!("{}: {reason}", path.display()))?)
        }
        None => None,
    };
    let rounds = args.rounds.unwrap_or(match before {
        Some(_) => ROUNDS,
        None => 1,
    });
    let name = args.name.as_deref();
    if name.is_none_or(|name| name == "startup" || name == "memory") {
        cargo(&["build", "--package", "disinherit-cli"])?;
    }
    let mut text = String::new();
    for _ in 0..rounds {
        let mut run = vec!["run", "--package", "benches", "--"];
        run.extend(name);
        text += &cargo(&run)?;
    }
    if args.json {
        print!("{text}");
    }
    let lines = read(&text)?;
    if let Some(before) = before {
        let (table, regressed) = compare(&before, &lines);
        match args.json {
            true => eprintln!("{table}"),
            false => println!("{table}"),
        }
        return Ok(!regressed);
    }
    if !args.json {
        println!("{}", table(&lines));
    }
    Ok(true)
}

/// Runs cargo on optimised packages, and returns what it prints.
fn cargo(arguments: &[&str]) -> Result<String, String> {
    let (command, rest) = arguments.split_first().ok_or("no command")?;
    let output = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()))
        .args([command, "--quiet", "--release"])
        .args(rest)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("cannot run the benchmarks: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err("the benchmarks failed".into()),
    }
}

fn table(lines: &[Line]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["name", "ours", "other", "ratio", "unit", "against"]);
    let number = |number: Option<f64>| number.map_or("-".into(), digits);
    for line in lines {
        table.add_row([
            line.name.clone(),
            number(line.ours),
            number(line.other),
            number(line.ratio),
            line.unit.clone(),
            line.against.clone(),
        ]);
    }
    for column in table.column_iter_mut().skip(1).take(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
