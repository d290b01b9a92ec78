//! `certify`: signs what a request did.

use std::path::PathBuf;

use clap::Args;
use disinherit::{FORGOTTEN, SecretKey};
use serde_json::json;

use super::verify;
use crate::args::data::DataArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::files;
use crate::output::{self, outln};

/// Certify what a request did, signed; `verify --certificate` checks it without the registry.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit certify --key proof.pem --data photos/
  disinherit certify 13 --key proof.pem --out request-13.json")]
pub(crate) struct CertifyArgs {
    /// The request's id, or the number of its operation; the last one when not given.
    request: Option<String>,
    /// The key to sign with (`disinherit key FILE` makes one).
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where the certificate goes.
    #[arg(long, default_value = "certificate.json", value_name = "FILE")]
    out: PathBuf,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    data: DataArgs,
    /// The largest accuracy on forgotten held-out data that passes, 0 to 1.
    #[arg(long, default_value_t = FORGOTTEN, value_name = "X")]
    at_most: f64,
}

pub(super) fn run(context: &Context, args: &CertifyArgs) -> Result<Outcome, CliError> {
    files::refuse_existing(&args.out, args.force)?;
    let key = SecretKey::from_pem(&files::read_text(&args.key)?)?;
    let registry = context.registry()?;
    let request = args.request.as_deref();
    let (asked, outcomes) = disinherit::last_request(&registry, request)?;
    let verdicts = match args.data.open()? {
        None => Vec::new(),
        Some(splits) => {
            let ids: Vec<_> = outcomes.into_iter().map(|model| model.after).collect();
            verify::judge(
                context,
                &registry,
                &ids,
                &asked.forget,
                &splits,
                args.at_most,
            )?
        }
    };
    let judged = verdicts.len();
    let failed = verdicts.iter().filter(|v| v.passed == Some(false)).count();
    let envelope = disinherit::certify(&registry, request, verdicts, &key, disinherit::now())?;
    files::write(&args.out, format!("{}\n", envelope.to_json()?))?;
    let id = key.public().id();
    if context.json {
        output::json(&json!({
            "certificate": args.out,
            "key": id,
            "judged": judged,
            "not_forgotten": failed,
            "evidence": verify::EVIDENCE,
        }))?;
        return Ok(Outcome::Done);
    }
    outln!("wrote {}, signed with the key {id}", args.out.display());
    match (judged, failed) {
        (0, _) => {
            outln!("it has no verdicts: give data (`--data PATH`) to have the models judged");
        }
        (_, 0) => {
            outln!("it says that none of {judged} models recognises the forget data by its outputs")
        }
        _ => outln!("it says that {failed} of {judged} models STILL RECOGNISE the forget data"),
    }
    Ok(Outcome::Done)
}
