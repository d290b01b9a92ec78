//! `retention`: how long superseded versions are kept.

use clap::Args;
use serde_json::json;

use crate::args::values::duration;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln};

/// No end.
const FOREVER: &str = "forever";

/// Say how long superseded versions are kept before `purge --due` deletes them.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit retention
  disinherit retention 30d
  disinherit retention forever")]
pub(crate) struct RetentionArgs {
    /// How long, such as 30d; `forever` for no end. Shown when not given.
    #[arg(value_parser = keep)]
    keep: Option<String>,
}

/// A length of time, or `forever`, as it is written.
fn keep(text: &str) -> Result<String, String> {
    if text != FOREVER {
        duration(text)?;
    }
    Ok(text.to_owned())
}

pub(super) fn run(context: &Context, args: &RetentionArgs) -> Result<Outcome, CliError> {
    let registry = context.registry()?;
    if let Some(keep) = &args.keep {
        registry.set_retention(Some(keep.as_str()).filter(|keep| *keep != FOREVER))?;
    }
    let keep = registry.retention()?;
    let keep = keep.as_deref().unwrap_or(FOREVER);
    if context.json {
        output::json(&json!({ "retention": keep }))?;
    } else if keep == FOREVER {
        outln!("superseded versions are kept until they are purged by name");
    } else {
        outln!(
            "superseded versions are kept for {keep}; `disinherit purge --due` deletes older ones"
        );
    }
    Ok(Outcome::Done)
}
