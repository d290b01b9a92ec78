//! `request verify`: the evaluator's judgement.

use clap::Args;
use disinherit::registry::ErasureId;
use disinherit_desk::Desk;
use serde_json::json;

use super::print;
use crate::args::data::DataArgs;
use crate::args::verdict::VerdictArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln};

/// Judge the new versions of a request. Exits with 1 if one still recognises the forget data, or falls short
/// of what is required; the request has failed then, and can be planned anew.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit request verify 3 --data photos/
  disinherit request verify 3 --data photos/ --require features
  disinherit request verify 3 --unjudged 'the data is deleted already'")]
pub(crate) struct VerifyRequestArgs {
    /// The request's number.
    request: ErasureId,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    verdict: VerdictArgs,
    /// Go on without a judgement, for this reason. The record and the certificate say so.
    #[arg(long, value_name = "REASON", conflicts_with = "data")]
    unjudged: Option<String>,
}

pub(super) fn run(context: &Context, args: &VerifyRequestArgs) -> Result<Outcome, CliError> {
    let registry = context.registry()?;
    if let Some(why) = &args.unjudged {
        let engine = context.engine(registry, None);
        let erasure = Desk::new(&engine).leave_unjudged(args.request, why.clone())?;
        return print::stepped(context, &erasure);
    }
    let why = "verifying needs data (or `--unjudged` with a reason)";
    let splits = args.data.require(why)?;
    let engine = context.engine(registry, Some(&splits));
    let (erasure, verdicts) = Desk::new(&engine).verify(args.request, &args.verdict.bar())?;
    let passed = erasure.verdict.as_ref().is_some_and(|v| v.passed);
    if context.json {
        output::json(&json!({"request": erasure, "verdicts": verdicts}))?;
    } else {
        for verdict in &verdicts {
            outln!("{}: {}", verdict.model, verdict.judgement());
        }
        if let Some(verdict) = &erasure.verdict {
            outln!("{verdict}");
        }
        print::stepped(context, &erasure)?;
    }
    Ok(Outcome::from_sound(passed))
}
