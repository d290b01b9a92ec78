//! `sign`: signs the files of a model that are there already.

use std::path::PathBuf;

use clap::Args;
use disinherit::certificate::sign_model;
use serde_json::json;

use crate::args::signing::signing_key;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln};

/// Sign the files of a model, as `model_signing verify` checks them.
///
/// A signature covers every file of a folder, so sign last: a model card that is written afterwards makes it
/// invalid. A signature from before is replaced.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit sign clinic-again/ --key models.pem
  disinherit sign clinic.safetensors --key models.pem")]
pub(crate) struct SignArgs {
    /// The file or folder. The signature is written into the folder as `model.sig`, or beside the file with `.sig`
    /// at the end.
    path: PathBuf,
    /// The key to sign with (`disinherit key FILE --kind p256` makes one).
    #[arg(long, value_name = "KEY")]
    key: PathBuf,
}

pub(super) fn run(context: &Context, args: &SignArgs) -> Result<Outcome, CliError> {
    let signature = sign_model(&args.path, &signing_key(&args.key)?)?;
    if context.json {
        output::json(&json!({"file": args.path, "signature": signature}))?;
    } else {
        outln!("signed in {}", signature.display());
    }
    Ok(Outcome::Done)
}
