//! `sample-ids`: how lists of samples keep the ids.

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln};

/// Say whether the ids of the samples that models were trained on are kept in clear or as hashes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit sample-ids
  disinherit sample-ids hashed")]
pub(crate) struct SampleIdsArgs {
    /// How lists that are written from now on keep ids; those that are there stay as they are. Shown
    /// when not given.
    keep: Option<Keep>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Keep {
    /// The ids themselves.
    Clear,
    /// Hashes of them, under a key that lies in the catalog.
    Hashed,
}

pub(super) fn run(context: &Context, args: &SampleIdsArgs) -> Result<Outcome, CliError> {
    let registry = context.registry()?;
    if let Some(keep) = args.keep {
        registry.set_hashes_sample_ids(keep == Keep::Hashed)?;
    }
    let hashed = registry.hashes_sample_ids()?;
    if context.json {
        let keep = if hashed { "hashed" } else { "clear" };
        output::json(&json!({ "sample_ids": keep }))?;
    } else if hashed {
        outln!(
            "lists of samples keep hashes of the ids, under a key in the catalog; requests name the ids"
        );
    } else {
        outln!("lists of samples keep the ids in clear");
    }
    Ok(Outcome::Done)
}
