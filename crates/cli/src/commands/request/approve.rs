//! `request approve`: lets a request be run.

use clap::Args;
use disinherit::registry::{ErasureId, ErasureStep};

use super::print;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;

/// Approve a request as it was planned. A registry with four eyes wants somebody else than who filed it.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  disinherit request approve 3 --actor ann@privacy")]
pub(crate) struct ApproveArgs {
    /// The request's number.
    request: ErasureId,
}

pub(super) fn run(context: &Context, args: &ApproveArgs) -> Result<Outcome, CliError> {
    // Whether four eyes are asked for is the registry's to say, in the transaction that takes the step.
    let step = ErasureStep::Approve { four_eyes: false };
    let erasure = context.registry()?.step_erasure(args.request, step, None)?;
    print::stepped(context, &erasure)
}
