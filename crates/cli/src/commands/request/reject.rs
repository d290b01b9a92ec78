//! `request reject`: turns a request down.

use clap::Args;
use disinherit::registry::{ErasureId, ErasureStep};

use super::print;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;

/// Turn a request down, with the reason. That is its end.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit request reject 3 --reason 'no model was trained on it'
  disinherit request reject 3 --reason 'a duplicate of request 2'")]
pub(crate) struct RejectArgs {
    /// The request's number.
    request: ErasureId,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

pub(super) fn run(context: &Context, args: &RejectArgs) -> Result<Outcome, CliError> {
    let reason = args.reason.clone();
    let step = ErasureStep::Reject { reason };
    let erasure = context.registry()?.step_erasure(args.request, step, None)?;
    print::stepped(context, &erasure)
}
