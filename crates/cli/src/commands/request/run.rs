//! `request run`: edits the models as planned.

use clap::Args;
use disinherit::registry::ErasureId;
use disinherit_desk::Desk;
use serde_json::json;

use super::print;
use crate::args::data::DataArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln, warning};

/// Edit the models of a request as planned, and publish the new versions.
#[derive(Debug, Args)]
#[command(after_help = "\
A run that was stopped is taken up: what it finished is not computed again. While a run goes on, no other
one of the same request begins; one that is silent for a minute is taken over.

Examples:
  disinherit request run 3 --data photos/
  disinherit request run 3 --data photos/ --take-over")]
pub(crate) struct RunRequestArgs {
    /// The request's number.
    request: ErasureId,
    #[command(flatten)]
    data: DataArgs,
    /// Take over a run that was killed, without waiting for the minute: it then publishes nothing.
    #[arg(long)]
    take_over: bool,
}

pub(super) fn run(context: &Context, args: &RunRequestArgs) -> Result<Outcome, CliError> {
    let registry = context.registry()?;
    let splits = args.data.open()?;
    let engine = context.engine(registry, splits.as_ref());
    let done = Desk::new(&engine).run(args.request, args.take_over)?;
    let erasure = engine.registry().erasure(args.request)?;
    let unlearned = &done.unlearned;
    if context.json {
        output::json(&json!({"request": erasure, "unlearned": unlearned, "cost": done.cost}))?;
        return Ok(Outcome::Done);
    }
    for model in &unlearned.models {
        outln!("{} becomes {}", model.before, model.after);
    }
    for gone in &unlearned.retired {
        outln!("{} is retired: nothing replaces it", gone.model);
    }
    for remark in &unlearned.warnings {
        warning!("{remark}");
    }
    print::next(&erasure);
    Ok(Outcome::Done)
}
