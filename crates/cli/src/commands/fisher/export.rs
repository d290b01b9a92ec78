//! `fisher export`: writes a card to a file.

use std::path::PathBuf;

use clap::Args;
use disinherit::LoadedModel;
use disinherit::fiun::Estimator;
use serde_json::json;

use crate::args::model::resolve;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::files;
use crate::output::{self, outln};

/// Write a model's card to a safetensors file.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  disinherit fisher export clinic clinic.card")]
pub(crate) struct ExportCardArgs {
    /// `name` (the current version) or `name@version`.
    model: String,
    /// The file to write.
    file: PathBuf,
    /// Which card.
    #[arg(long, default_value = "empirical")]
    estimator: Estimator,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(context: &Context, args: &ExportCardArgs) -> Result<Outcome, CliError> {
    let registry = context.registry()?;
    let graph = registry.graph()?;
    let loaded = LoadedModel::open(&registry, &graph, &resolve(&graph, &args.model)?)?;
    files::refuse_existing(&args.file, args.force)?;
    let id = loaded.id();
    let estimator = args.estimator;
    let card = registry
        .card(loaded.digest, estimator)?
        .ok_or_else(|| {
            CliError::new(format!("`{id}` has no {estimator} FIM card")).help(format!(
                "compute it with `disinherit fisher {id} --data PATH`"
            ))
        })?
        .card(&registry)?;
    files::write(&args.file, card.to_bytes()?)?;
    if context.json {
        output::json(&json!({"model": id, "file": args.file}))?;
    } else {
        outln!("wrote the card of {id} to {}", args.file.display());
    }
    Ok(Outcome::Done)
}
