//! `gc`: removes what belongs to nothing.

use bytesize::ByteSize;
use clap::Args;
use disinherit::registry::{Garbage, Gathered};
use serde::Serialize;

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln};

/// Remove what was never published, and what a kill left.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit gc --dry-run
  disinherit gc --drafts
  disinherit gc --pack")]
pub(crate) struct GcArgs {
    /// Say what would go, and remove nothing.
    #[arg(long)]
    dry_run: bool,
    /// Drop finished tasks of requests that were stopped, too, instead of keeping them a week.
    #[arg(long)]
    drafts: bool,
    /// Then bring small objects together into packs: requests over many models read and write fewer files.
    #[arg(long, conflicts_with = "dry_run")]
    pack: bool,
}

/// What was done, as JSON.
#[derive(Serialize)]
struct Done {
    #[serde(flatten)]
    garbage: Garbage,
    #[serde(skip_serializing_if = "Option::is_none")]
    packed: Option<Gathered>,
}

pub(super) fn run(context: &Context, args: &GcArgs) -> Result<Outcome, CliError> {
    let registry = context.registry()?;
    let garbage = registry.collect_garbage(args.dry_run, args.drafts)?;
    let packed = match args.pack {
        true => Some(registry.pack_objects()?),
        false => None,
    };
    if context.json {
        output::json(&Done { garbage, packed })?;
        return Ok(Outcome::Done);
    }
    let Garbage {
        objects,
        bytes,
        copies,
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
    if copies > 0 {
        outln!("{verb} {copies} copies of objects that lie in packs as well");
    }
    if young > 0 {
        outln!("kept {young} objects that another process may be about to publish");
    }
    if let Some(Gathered {
        objects,
        merged,
        packs,
    }) = packed
    {
        outln!("brought {objects} objects and {merged} small packs into {packs} packs");
    }
    Ok(Outcome::Done)
}
