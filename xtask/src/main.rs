//! Chores of the workspace: `cargo xtask bench [NAME]`, `cargo xtask modules`, `cargo xtask exports`,
//! `cargo xtask features`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod bench;
mod exports;
mod features;
mod finding;
mod modules;
mod source;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Chores of the workspace.
#[derive(Debug, Parser)]
struct Chores {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Run the benchmarks and print name, ours, peer or limit, ratio and unit, or compare with a run of before.
    Bench(bench::BenchArgs),
    /// Check the rooms of the house: arrows between crates, circles between files, imports through a
    /// crate's root, sizes, words. Exits with 1 when something is found.
    Modules {
        /// Only these crates, by package name.
        #[arg(value_name = "CRATE")]
        only: Vec<String>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Check what the engine exports: how much, and whether a front end or an example uses it. Exits with
    /// 1 when something is found.
    Exports {
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Check that all builds share one compilation of the tensor library. Exits with 1 when they do not.
    Features,
}

fn main() -> ExitCode {
    let done = match Chores::parse().chore {
        Chore::Bench(args) => bench::bench(&args),
        Chore::Modules { only, json } => modules::modules(&only, json),
        Chore::Exports { json } => exports::exports(json),
        Chore::Features => features::features(),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
