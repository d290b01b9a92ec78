//! `request new`: files a request.

use clap::Args;
use disinherit_desk::{Desk, Filed, Terms};

use super::print;
use crate::args::request::RequestArgs;
use crate::args::values::{later, timestamp};
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln};

/// File an erasure request: what must be forgotten, who asked, until when.
#[derive(Debug, Args)]
#[command(after_help = "\
Give a pseudonym for who asked, and no names in comments or reasons: the log keeps all of it for good.
A list of samples is kept as an object of the registry; the request says how many there are.

Examples:
  disinherit request new --forget class=rocket
  disinherit request new --forget samples=ids.txt --requester subject-8f3a --basis 'GDPR Art. 17(1)(b)'
  disinherit request new --forget source=clinic --received 2026-11-20T09:00:00Z --deadline 14d
  disinherit request new --forget source=clinic --preview")]
pub(crate) struct NewArgs {
    #[command(flatten)]
    request: RequestArgs,
    /// Who asked: a pseudonym that is resolved elsewhere.
    #[arg(long, value_name = "REFERENCE")]
    requester: Option<String>,
    /// The legal basis, such as 'GDPR Art. 17(1)(b)'.
    #[arg(long, value_name = "TEXT")]
    basis: Option<String>,
    /// When it arrived (RFC 3339); now when not given.
    #[arg(long, value_name = "TIME", value_parser = timestamp)]
    received: Option<u64>,
    /// Until when it must be carried out: a time (RFC 3339), or a length from its arrival such as 14d; one
    /// month when not given.
    #[arg(long, value_name = "WHEN", value_parser = later)]
    deadline: Option<crate::args::values::Later>,
    /// Say which models it would touch and why, and file nothing.
    #[arg(long)]
    preview: bool,
}

pub(super) fn run(context: &Context, args: &NewArgs) -> Result<Outcome, CliError> {
    let registry = context.registry()?;
    let request = args.request.request(&registry)?;
    let engine = context.engine(registry, None);
    let desk = Desk::new(&engine);
    if args.preview {
        let scope = desk.preview(&request, &Terms::default())?;
        match context.json {
            true => output::json(&scope)?,
            false => print::scope(&scope),
        }
        return Ok(Outcome::Done);
    }
    let received = args.received.unwrap_or_else(disinherit::model::now);
    let filed = desk.file(Filed {
        requester: args.requester.clone(),
        basis: args.basis.clone(),
        received: Some(received),
        deadline: args.deadline.map(|later| later.from(received)),
        ..Filed::new(request)
    })?;
    if !context.json {
        outln!(
            "filed request {}: forget {}, until {}",
            filed.id,
            filed.asked,
            print::deadline(&filed)
        );
        print::next(&filed);
        return Ok(Outcome::Done);
    }
    print::stepped(context, &filed)
}
