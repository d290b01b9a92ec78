//! `request purge`: deletes what the replaced versions remember.

use clap::Args;
use disinherit::registry::ErasureId;
use disinherit_desk::Desk;
use serde_json::json;

use super::print;
use crate::commands::purge;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln};

/// Delete for good what the versions remember that a request replaced or retired.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit request purge 3 --dry-run
  disinherit request purge 3")]
pub(crate) struct PurgeRequestArgs {
    /// The request's number.
    request: ErasureId,
    /// Why, for the record; the request's number when not given.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Say what would go, and delete nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(context: &Context, args: &PurgeRequestArgs) -> Result<Outcome, CliError> {
    let engine = context.engine(context.registry()?, None);
    let desk = Desk::new(&engine);
    let purged = desk.purge(args.request, args.reason.clone(), args.dry_run)?;
    let erasure = engine.registry().erasure(args.request)?;
    if context.json {
        output::json(&json!({"request": erasure, "purged": purged}))?;
        return Ok(Outcome::Done);
    }
    match &purged {
        Some(purged) => purge::print(purged),
        None => outln!("nothing is left to purge: all that it replaced is gone already"),
    }
    if args.dry_run {
        return Ok(Outcome::Done);
    }
    print::stepped(context, &erasure)
}
