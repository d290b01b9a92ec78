//! `request four-eyes`: whether somebody else must approve.

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln};

/// Say whether a request needs the approval of somebody else than who filed it.
#[derive(Debug, Args)]
#[command(after_help = "\
On the command line the actor is what `--actor` says: it is a record, not a barrier.

Examples:
  disinherit request four-eyes
  disinherit request four-eyes on")]
pub(crate) struct FourEyesArgs {
    /// From now on; shown when not given.
    asked: Option<Switch>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    /// Somebody else must approve.
    On,
    /// Who filed it may approve it too.
    Off,
}

pub(super) fn run(context: &Context, args: &FourEyesArgs) -> Result<Outcome, CliError> {
    let registry = context.registry()?;
    if let Some(asked) = args.asked {
        registry.set_four_eyes(asked == Switch::On)?;
    }
    let asked = registry.asks_for_four_eyes()?;
    if context.json {
        output::json(&json!({ "four_eyes": asked }))?;
    } else if asked {
        outln!("a request needs the approval of somebody else than who filed it");
    } else {
        outln!("who filed a request may approve it too");
    }
    Ok(Outcome::Done)
}
