//! `report`: the page of a request.

use std::path::PathBuf;
use std::slice;

use clap::Args;
use disinherit::{Depth, revisit};
use serde_json::json;

use crate::args::data::DataArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::files;
use crate::output::{self, outln};

/// Write the page of a request: what it did, and with data, what the models still recognise.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit report --data photos/
  disinherit report 13 --data photos/ --relearning --out request-13.html")]
pub(crate) struct ReportArgs {
    /// The request's id, or its number in `disinherit log --operations`; the last one when not
    /// given.
    request: Option<String>,
    #[command(flatten)]
    data: DataArgs,
    /// Relearn too, the verdict that trains.
    #[arg(long)]
    relearning: bool,
    /// Where the page goes.
    #[arg(long, default_value = "report.html", value_name = "FILE")]
    out: PathBuf,
}

pub(super) fn run(context: &Context, args: &ReportArgs) -> Result<Outcome, CliError> {
    let registry = context.registry()?;
    let splits = args.data.open()?;
    let study = revisit(
        &registry,
        args.request.as_deref(),
        splits.as_ref(),
        Depth {
            attacks: true,
            relearning: args.relearning,
        },
        context.compute,
        None,
        &context.bars,
    )?;
    files::write(&args.out, disinherit_report::page(slice::from_ref(&study))?)?;
    if context.json {
        output::json(&json!({"study": study, "report": args.out}))?;
        return Ok(Outcome::Done);
    }
    outln!("wrote {}", args.out.display());
    if splits.is_none() {
        outln!("give data (`--data PATH`) to have the models judged");
    }
    Ok(Outcome::Done)
}
