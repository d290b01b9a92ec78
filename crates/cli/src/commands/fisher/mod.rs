//! `fisher`: computes FIM cards; its sub-commands bring and give them.

use clap::{Args, Subcommand};
use disinherit::cards::{FisherOptions, compute_cards};
use disinherit::fiun::Precision;
use disinherit::provenance::absence_warning;
use disinherit::registry::{CardRow, Registry};
use disinherit::umig::ModelId;
use disinherit::{Engine, LoadedModel};
use serde_json::json;

use crate::args::data::DataArgs;
use crate::args::estimator::CardArgs;
use crate::args::model::{opened, resolve_all};
use crate::args::shard::ShardArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln, warning};

mod export;
mod import;

/// Compute and keep FIM cards, so that classes can be forgotten later without data.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
Examples:
  disinherit fisher --data photos/
  disinherit fisher base --data photos/ --layers all --precision auto
  disinherit fisher --data photos/ --shard 3/40    # on one of forty machines"
)]
pub(crate) struct FisherArgs {
    #[command(subcommand)]
    command: Option<FisherCommand>,
    /// Models; all current ones when none is named.
    models: Vec<String>,
    #[command(flatten)]
    data: DataArgs,
    #[command(flatten)]
    card: CardArgs,
    /// Compute cards again that are there already.
    #[arg(long)]
    again: bool,
    #[command(flatten)]
    shard: ShardArgs,
}

#[derive(Debug, Subcommand)]
enum FisherCommand {
    Import(import::ImportCardArgs),
    Export(export::ExportCardArgs),
}

pub(super) fn run(context: &Context, args: &FisherArgs) -> Result<Outcome, CliError> {
    match &args.command {
        Some(FisherCommand::Import(args)) => import::run(context, args),
        Some(FisherCommand::Export(args)) => export::run(context, args),
        None => run_compute(context, args),
    }
}

fn run_compute(context: &Context, args: &FisherArgs) -> Result<Outcome, CliError> {
    let registry = context.registry()?;
    let graph = registry.graph()?;
    let ids: Vec<ModelId> = if args.models.is_empty() {
        let current = graph.models().filter(|model| !model.superseded);
        current.map(|model| model.id.clone()).collect()
    } else {
        resolve_all(&graph, &args.models)?
    };
    let splits = args
        .data
        .require("a FIM card is computed from the model's own training data")?;
    let options = args.card.options();
    let engine = context.engine(registry, Some(&splits));
    let models = opened(engine.registry(), &graph, &ids)?;
    let models = args.shard.of_models(models)?;
    let rows = cards_of(&engine, &models, &options, args.again)?;
    let ids: Vec<ModelId> = models.iter().map(|model| model.id().clone()).collect();
    print(context, engine.registry(), &ids, &rows)?;
    Ok(Outcome::Done)
}

/// Computes the cards of the models that have none yet, or all of them `again`.
pub(super) fn cards(
    engine: &Engine<'_>,
    ids: &[ModelId],
    options: &FisherOptions,
    again: bool,
) -> Result<Vec<CardRow>, CliError> {
    let graph = engine.registry().graph()?;
    let models = opened(engine.registry(), &graph, ids)?;
    cards_of(engine, &models, options, again)
}

fn cards_of(
    engine: &Engine<'_>,
    models: &[LoadedModel],
    options: &FisherOptions,
    again: bool,
) -> Result<Vec<CardRow>, CliError> {
    let rows = compute_cards(engine, models, options, again)?;
    let made = |model: &&LoadedModel| rows.iter().any(|row| row.model == model.digest);
    for model in models.iter().filter(made) {
        if let Some(data) = engine.data()
            && let Some(absent) = absence_warning(&model.vertex, &data.train)?
        {
            warning!("{absent}");
        }
    }
    Ok(rows)
}

fn print(
    context: &Context,
    registry: &Registry,
    ids: &[ModelId],
    rows: &[CardRow],
) -> Result<(), CliError> {
    let readers = rows
        .iter()
        .map(|row| registry.card_of(row))
        .collect::<Result<Vec<_>, _>>()?;
    let headers = readers.iter().map(|reader| reader.header());
    let present = ids.len() - rows.len();
    if context.json {
        let list: Vec<_> = rows
            .iter()
            .zip(headers)
            .map(|(row, header)| {
                json!({
                    "model": row.model,
                    "estimator": row.estimator,
                    "card": row.blob,
                    "samples": header.samples(),
                    "precision": header.precision,
                    "layers": header.layers.len(),
                })
            })
            .collect();
        return output::json(&json!({"cards": list, "present": present}));
    }
    let digests = registry.digests()?;
    for header in headers {
        if let Some(precision) = &header.precision {
            let known = ids.iter().find(|id| digests.get(id) == Some(&header.model));
            let name = known.map_or_else(|| header.model.to_string(), ToString::to_string);
            outln!("{name}: {}", in_words(precision));
        }
    }
    outln!(
        "computed {} cards, {present} were there already",
        rows.len()
    );
    Ok(())
}

/// What a user should know about a FIM from a subset.
pub(super) fn in_words(precision: &Precision) -> String {
    format!(
        "{} of {} samples, standard error {:.2} %, {:.2} % of decisions at alpha {} open",
        output::grouped(precision.samples),
        output::grouped(precision.population),
        precision.standard_error * 100.0,
        precision.open * 100.0,
        precision.alpha
    )
}
