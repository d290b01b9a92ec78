//! `request certify`: signs what a request did.

use std::path::PathBuf;

use clap::Args;
use disinherit::certificate::SecretKey;
use disinherit::registry::ErasureId;
use disinherit_desk::Desk;
use serde_json::json;

use super::print;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::files;
use crate::output::{self, outln};

/// Sign the certificate of a request, with the verdicts on record, and keep it in the registry.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit request certify 3 --key proof.pem
  disinherit request certify 3 --key proof.pem --out certificate.json")]
pub(crate) struct CertifyRequestArgs {
    /// The request's number.
    request: ErasureId,
    /// The key to sign with (`disinherit key FILE` makes one).
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Write the certificate to this file too; `request show --certificate FILE` does so later.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &CertifyRequestArgs) -> Result<Outcome, CliError> {
    if let Some(out) = &args.out {
        files::refuse_existing(out, false)?;
    }
    let key = SecretKey::from_pem(&files::read_text(&args.key)?)?;
    let engine = context.engine(context.registry()?, None);
    let (erasure, envelope) = Desk::new(&engine).certify(args.request, &key)?;
    if let Some(out) = &args.out {
        files::write(out, format!("{}\n", envelope.to_json()?))?;
    }
    let id = key.public().id();
    if context.json {
        output::json(&json!({"request": erasure, "key": id, "certificate": args.out}))?;
        return Ok(Outcome::Done);
    }
    outln!("signed with the key {id}");
    print::stepped(context, &erasure)
}
