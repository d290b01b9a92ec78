//! The command line: flags, progress, messages. Everything else is in the libraries below.

mod args;
mod cli;
mod commands;
mod context;
mod error;
mod exit;
mod files;
mod graph;
mod hints;
mod logging;
mod next_step;
mod output;
mod progress;
mod recipes;
mod states;
mod table;

use std::process::ExitCode;
use std::time::Instant;

use clap::{CommandFactory, FromArgMatches};

use crate::cli::Cli;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::progress::Bars;

fn main() -> ExitCode {
    let matches = match commands::matches(Cli::command()) {
        Ok(matches) => matches,
        Err(error) => {
            output::complain(format_args!("{error}\n"));
            return error.code();
        }
    };
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let name = matches.subcommand_name().unwrap_or_default();
    match run(cli, name) {
        Ok(outcome) => outcome.code(),
        Err(error) => {
            output::complain(format_args!("{error}\n"));
            error.code()
        }
    }
}

/// Runs a command between two events of the log.
fn run(cli: Cli, command: &str) -> Result<Outcome, CliError> {
    let bars = Bars::new(cli.global.quiet);
    logging::start(cli.global.log.as_deref(), bars.all())?;
    let start = Instant::now();
    tracing::info!(command, "started");
    let outcome =
        Context::new(cli.global, bars).and_then(|context| commands::run(&context, cli.command));
    let seconds = start.elapsed().as_secs_f64();
    match &outcome {
        Ok(outcome) => tracing::info!(command, seconds, ?outcome, "finished"),
        Err(error) => tracing::error!(command, seconds, error = error.message(), "failed"),
    }
    let printed = output::finish();
    outcome.and_then(|outcome| printed.map(|()| outcome))
}
