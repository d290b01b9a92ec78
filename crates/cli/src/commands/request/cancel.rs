//! `request cancel`: stops what goes on or waits.

use clap::Args;
use disinherit::registry::{ErasureId, ErasureStep};

use super::print;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::outln;

/// Stop the run or the waiting job of a request, on whatever machine it is. It can be run again.
#[derive(Debug, Args)]
#[command(after_help = "\
From this moment a run publishes nothing. It stops at its next task, and what it has finished is kept: the
next run does not compute it again.

Examples:
  disinherit request cancel 3
  disinherit request cancel 3 --reason 'the cluster is needed'")]
pub(crate) struct CancelArgs {
    /// The request's number.
    request: ErasureId,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(super) fn run(context: &Context, args: &CancelArgs) -> Result<Outcome, CliError> {
    let step = ErasureStep::cancel(args.reason.clone());
    let erasure = context.registry()?.step_erasure(args.request, step, None)?;
    if !context.json {
        outln!("cancelled");
    }
    print::stepped(context, &erasure)
}
