//! `request show`: one request with all that happened.

use clap::Args;
use disinherit::registry::{
    ErasureId, ErasureRequest, ErasureStep, OperationRecord, OperationRow, stopped_in_words,
};
use disinherit_desk::Desk;
use serde_json::json;

use super::print;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::files;
use crate::output::{self, outln};

/// Show a request: how far it has come, whom it touches and why, and everything that happened.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit request show 3
  disinherit request show 3 --json
  disinherit request show 3 --certificate certificate.json")]
pub(crate) struct ShowRequestArgs {
    /// The request's number.
    request: ErasureId,
    /// Write its certificate to this file instead.
    #[arg(long, value_name = "FILE")]
    certificate: Option<std::path::PathBuf>,
}

pub(super) fn run(context: &Context, args: &ShowRequestArgs) -> Result<Outcome, CliError> {
    let engine = context.engine(context.registry()?, None);
    let desk = Desk::new(&engine);
    let registry = engine.registry();
    let erasure = registry.erasure(args.request)?;
    if let Some(file) = &args.certificate {
        files::refuse_existing(file, false)?;
        let certificate = desk.certificate(&erasure)?.ok_or_else(|| {
            CliError::new(format!("request {} has no certificate yet", erasure.id))
        })?;
        files::write(file, certificate)?;
        outln!("wrote {}", file.display());
        return Ok(Outcome::Done);
    }
    let history = registry.erasure_history(erasure.id)?;
    let plan = erasure.plan.as_ref();
    let scope = plan.map(|plan| desk.scope(plan)).transpose()?;
    if context.json {
        let document = json!({"request": erasure, "scope": scope, "history": history});
        output::json(&document)?;
        return Ok(Outcome::Done);
    }
    header(&erasure);
    if let Some(scope) = &scope {
        print::scope(scope);
    }
    outln!("history");
    for row in &history {
        line(row);
    }
    print::next(&erasure);
    Ok(Outcome::Done)
}

fn header(erasure: &ErasureRequest) {
    outln!("request {}: forget {}", erasure.id, erasure.asked);
    outln!("  state       {}", erasure.state);
    if let Some(reason) = &erasure.reason {
        outln!("  reason      {reason}");
    }
    let requester = erasure.requester.as_deref();
    outln!("  for         {}", requester.unwrap_or("not given"));
    let basis = erasure.basis.as_deref();
    outln!("  basis       {}", basis.unwrap_or("not given"));
    outln!("  received    {}", output::time(erasure.received));
    outln!("  deadline    {}", print::deadline(erasure));
    if let Some(reason) = &erasure.extended {
        outln!("  extended    {reason}");
    }
    outln!("  filed       {}", print::stamp(&erasure.filed));
    if let Some(approved) = &erasure.approved {
        outln!("  approved    {}", print::stamp(approved));
    }
    if let Some(verdict) = &erasure.verdict {
        outln!("  verdict     {verdict}");
    }
    if let Some(certificate) = erasure.certificate {
        outln!("  certificate {certificate}");
    }
}

fn line(row: &OperationRow) {
    let said = match row.record() {
        Ok(OperationRecord::Erasure(record)) => said(&record.step),
        Ok(OperationRecord::Unlearn(record)) => {
            format!("{} models by {}", record.models.len(), record.method)
        }
        Ok(OperationRecord::Purge(record)) => {
            format!("{} versions: {}", record.models.len(), record.reason)
        }
        Ok(OperationRecord::Undo(record)) => format!("operation {}", record.undoes),
        _ => String::new(),
    };
    let command = row.command.strip_prefix("request ").unwrap_or(&row.command);
    let line = format!(
        "  {:>4}  {}  {}  {command}  {said}",
        row.id,
        output::time(row.time),
        row.actor
    );
    outln!("{}", line.trim_end());
}

/// What a step says.
fn said(step: &ErasureStep) -> String {
    match step {
        ErasureStep::Comment { text } => text.replace('\n', " "),
        ErasureStep::Reject { reason } | ErasureStep::Fail { reason } => reason.clone(),
        ErasureStep::Extend { deadline, reason } => {
            format!("until {}: {reason}", output::time(*deadline))
        }
        ErasureStep::Plan(plan) => format!(
            "{} models by {}",
            plan.initial + plan.inherited,
            plan.method
        ),
        ErasureStep::Approve { four_eyes: true } => "with four eyes".to_owned(),
        ErasureStep::Run { taken_over: true } => "taken over".to_owned(),
        ErasureStep::Cancel { run, job, reason } => stopped_in_words(*run, *job, reason.as_deref()),
        ErasureStep::Verify(verdict) => verdict.to_string(),
        ErasureStep::Certify { key, .. } => format!("with the key {key}"),
        ErasureStep::New(_)
        | ErasureStep::Approve { .. }
        | ErasureStep::Run { .. }
        | ErasureStep::Purge
        | ErasureStep::Close => String::new(),
    }
}
