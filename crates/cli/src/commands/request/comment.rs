//! `request comment`: says something about a request.

use clap::Args;
use disinherit::registry::{ErasureId, ErasureStep};

use super::print;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;

/// Say something about a request. The log keeps it for good: no names.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  disinherit request comment 3 'identity checked on the phone'")]
pub(crate) struct CommentArgs {
    /// The request's number.
    request: ErasureId,
    /// What.
    text: String,
}

pub(super) fn run(context: &Context, args: &CommentArgs) -> Result<Outcome, CliError> {
    let text = args.text.clone();
    let step = ErasureStep::Comment { text };
    let erasure = context.registry()?.step_erasure(args.request, step, None)?;
    print::stepped(context, &erasure)
}
