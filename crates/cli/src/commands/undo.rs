//! `undo`: takes an operation back.

use clap::Args;
use disinherit::umig::ModelId;

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln};

/// Take an operation back: what it made goes, what it replaced is current again.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  disinherit log --operations
  disinherit undo 13")]
pub(crate) struct UndoArgs {
    /// The operation's number (`log --operations`).
    operation: i64,
}

pub(super) fn run(context: &Context, args: &UndoArgs) -> Result<Outcome, CliError> {
    let undone = context.registry()?.undo(args.operation)?;
    if context.json {
        output::json(&undone)?;
        return Ok(Outcome::Done);
    }
    outln!(
        "undid operation {} (by operation {})",
        args.operation,
        undone.operation
    );
    let list = |what: &str, ids: &[ModelId]| {
        if !ids.is_empty() {
            outln!("  {what}: {}", output::joined(ids));
        }
    };
    list("taken out", &undone.removed);
    list("current again", &undone.restored);
    Ok(Outcome::Done)
}
