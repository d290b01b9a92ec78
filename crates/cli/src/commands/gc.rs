//! `gc`: removes what belongs to nothing.

use bytesize::ByteSize;
use clap::Args;
use disinherit::registry::Garbage;

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln};

/// Remove what was never published, and what a kill left.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit gc --dry-run
  disinherit gc --drafts")]
pub(crate) struct GcArgs {
    /// Say what would go, and remove nothing.
    #[arg(long)]
    dry_run: bool,
    /// Drop finished tasks of requests that were stopped, too, instead of keeping them a week.
    #[arg(long)]
    drafts: bool,
}

pub(super) fn run(context: &Context, args: &GcArgs) -> Result<Outcome, CliError> {
    let garbage = context
        .registry()?
        .collect_garbage(args.dry_run, args.drafts)?;
    if context.json {
        output::json(&garbage)?;
        return Ok(Outcome::Done);
    }
    let Garbage {
        objects,
        bytes,
        files,
        drafts,
        young,
    } = garbage;
    let verb = if args.dry_run {
        "would remove"
    } else {
        "removed"
    };
    outln!(
        "{verb} {objects} objects ({}), {files} files of writes that were cut short, {drafts} \
         finished tasks of stopped requests",
        ByteSize::b(bytes)
    );
    if young > 0 {
        outln!("kept {young} objects that another process may be about to publish");
    }
    Ok(Outcome::Done)
}
