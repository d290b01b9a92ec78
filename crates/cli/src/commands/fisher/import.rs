//! `fisher import`: adds a card that was computed elsewhere.

use std::path::PathBuf;

use clap::Args;
use disinherit::registry::{CardFile, CardValues};
use serde_json::json;

use crate::args::model::resolve;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln};

/// Add a card that was computed elsewhere, by someone who may not share the data.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  disinherit fisher import clinic.card --model clinic")]
pub(crate) struct ImportCardArgs {
    /// The card, a safetensors file.
    file: PathBuf,
    /// The model that it must be of; the one that it names when not given.
    #[arg(long)]
    model: Option<String>,
    /// The source of all samples that it was computed on; such a card is kept beside that of all data, until the
    /// source is forgotten.
    #[arg(long)]
    source: Option<String>,
}

pub(super) fn run(context: &Context, args: &ImportCardArgs) -> Result<Outcome, CliError> {
    let registry = context.registry()?;
    let graph = registry.graph()?;
    let card = CardFile::open(&args.file)?;
    let named = args.model.as_deref();
    let named = named.map(|text| resolve(&graph, text)).transpose()?;
    let source = args.source.as_deref();
    let id = disinherit::cards::import_card(&registry, &graph, &card, named.as_ref(), source)?;
    let header = &card.head().header;
    let estimator = header.estimator;
    if context.json {
        output::json(&json!({"model": id, "estimator": estimator.to_string()}))?;
    } else {
        let samples = output::grouped(header.samples());
        outln!("kept the card of {id}: {estimator}, {samples} samples");
    }
    Ok(Outcome::Done)
}
