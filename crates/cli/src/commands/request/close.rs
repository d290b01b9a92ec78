//! `request close`: the end of a request.

use clap::Args;
use disinherit::registry::{ErasureId, ErasureStep};

use super::print;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;

/// Close a request that is purged: the person was told, and nothing is left to do.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  disinherit request close 3")]
pub(crate) struct CloseArgs {
    /// The request's number.
    request: ErasureId,
}

pub(super) fn run(context: &Context, args: &CloseArgs) -> Result<Outcome, CliError> {
    let registry = context.registry()?;
    let erasure = registry.step_erasure(args.request, ErasureStep::Close, None)?;
    print::stepped(context, &erasure)
}
