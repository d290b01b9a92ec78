//! `init`: makes a registry.

use clap::Args;
use disinherit::registry::{Location, Registry};
use serde_json::json;

use crate::context::{Context, location};
use crate::error::CliError;
use crate::exit::Outcome;
use crate::files;
use crate::output::{self, outln};

/// Make an empty registry.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit init
  disinherit init models/
  disinherit init clinic/ --hash-ids
  disinherit init s3://bucket/models --catalog postgres://me@db.example/models")]
pub(crate) struct InitArgs {
    /// Where: a folder (here when not given), or s3://bucket/path.
    place: Option<String>,
    /// A database for the catalog instead of a file: postgres://user@host/database. The password
    /// is taken from PGPASSWORD and written down nowhere.
    #[arg(long, value_name = "URL")]
    catalog: Option<String>,
    /// Keep hashes of sample ids instead of the ids, under a key that lies in the catalog.
    #[arg(long)]
    hash_ids: bool,
}

pub(super) fn run(context: &Context, args: &InitArgs) -> Result<Outcome, CliError> {
    let place = args.place.as_deref().or(context.place());
    let place = location(place.unwrap_or("."))?;
    if let Location::Folder(folder) = &place {
        files::make_folder(folder)?;
    }
    let registry = Registry::create_with(&place, args.catalog.as_deref())?;
    if args.hash_ids {
        registry.set_hashes_sample_ids(true)?;
    }
    if context.json {
        output::json(&json!({"registry": registry.address()}))?;
    } else {
        outln!("made a registry in {}", registry.address());
    }
    Ok(Outcome::Done)
}
