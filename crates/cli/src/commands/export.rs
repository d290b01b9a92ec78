//! `export`: writes a model to a file or folder.

use std::path::PathBuf;

use clap::Args;
use disinherit::LoadedModel;
use serde_json::json;

use crate::args::model::resolve;
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
  disinherit export base@1 base.safetensors --safetensors")]
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
}

pub(super) fn run(context: &Context, args: &ExportArgs) -> Result<Outcome, CliError> {
    let registry = context.registry()?;
    let graph = registry.graph()?;
    let loaded = LoadedModel::open(&registry, &graph, &resolve(&graph, &args.model)?)?;
    let file = &args.file;
    files::refuse_existing(file, args.force)?;
    let format = disinherit::import::export(&registry, &loaded, file, args.safetensors)?.describe();
    if context.json {
        output::json(&json!({"model": loaded.id(), "file": file, "form": format}))?;
    } else {
        outln!("wrote {} to {} ({format})", loaded.id(), file.display());
    }
    Ok(Outcome::Done)
}
