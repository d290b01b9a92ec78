//! `request extend`: a later deadline.

use clap::Args;
use disinherit::registry::{ErasureId, ErasureStep, months_after};
use disinherit_desk::LAST_EXTENSION;

use super::print;
use crate::args::values::{Later, later};
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;

/// Give a request a later deadline, with the reason.
#[derive(Debug, Args)]
#[command(after_help = "\
The person must be told of it within the first month (GDPR Art. 12(3)), and three months after its arrival
is the latest that the GDPR knows.

Examples:
  disinherit request extend 3 --reason 'complex: 40 models'
  disinherit request extend 3 --deadline 30d --reason 'waiting for the data'")]
pub(crate) struct ExtendArgs {
    /// The request's number.
    request: ErasureId,
    /// The new deadline: a time (RFC 3339), or a length from the deadline that it has, such as 30d; three
    /// months after its arrival when not given.
    #[arg(long, value_name = "WHEN", value_parser = later)]
    deadline: Option<Later>,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

pub(super) fn run(context: &Context, args: &ExtendArgs) -> Result<Outcome, CliError> {
    let registry = context.registry()?;
    let erasure = registry.erasure(args.request)?;
    let deadline = match args.deadline {
        Some(later) => later.from(erasure.deadline),
        None => months_after(erasure.received, LAST_EXTENSION),
    };
    let reason = args.reason.clone();
    let step = ErasureStep::Extend { deadline, reason };
    let erasure = registry.step_erasure(args.request, step, None)?;
    print::stepped(context, &erasure)
}
