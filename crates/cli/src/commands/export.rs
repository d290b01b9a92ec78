//! `export`: writes a model to a file or folder.

use std::path::PathBuf;

use clap::Args;
use disinherit::LoadedModel;
use disinherit::certificate::sign_model;
use serde_json::json;

use crate::args::model::resolve;
use crate::args::signing::signing_key;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::files;
use crate::output::{self, outln};

/// Write a model in the format that it came in: same files, same names, same types.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit export clinic clinic-again/
  disinherit export base@1 base.safetensors --safetensors
  disinherit export clinic clinic-again/ --sign models.pem")]
pub(crate) struct ExportArgs {
    /// `name` (the current version) or `name@version`.
    model: String,
    /// The file or folder to write.
    file: PathBuf,
    /// Write one safetensors file, whatever format the model came in.
    #[arg(long)]
    safetensors: bool,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
    /// Sign what is written with this key (`disinherit key FILE --kind p256` makes one), as `model_signing verify`
    /// checks it: into the folder as `model.sig`, or beside the file with `.sig` at the end.
    #[arg(long, value_name = "KEY")]
    sign: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &ExportArgs) -> Result<Outcome, CliError> {
    let key = args.sign.as_deref().map(signing_key).transpose()?;
    let registry = context.registry()?;
    let graph = registry.graph()?;
    let loaded = LoadedModel::open(&registry, &graph, &resolve(&graph, &args.model)?)?;
    let file = &args.file;
    files::refuse_existing(file, args.force)?;
    let format = disinherit::import::export(&registry, &loaded, file, args.safetensors)?.describe();
    let signature = key.map(|key| sign_model(file, &key)).transpose()?;
    if context.json {
        let mut said = json!({"model": loaded.id(), "file": file, "form": format});
        if let Some(signature) = &signature {
            said["signature"] = json!(signature);
        }
        output::json(&said)?;
    } else {
        outln!("wrote {} to {} ({format})", loaded.id(), file.display());
        if let Some(signature) = &signature {
            outln!("signed in {}", signature.display());
        }
    }
    Ok(Outcome::Done)
}
