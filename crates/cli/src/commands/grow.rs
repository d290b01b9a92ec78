//! `grow`: trains an inheritance network from a recipe.

use std::path::PathBuf;

use clap::Args;
use disinherit::Layers;
use disinherit::cards::FisherOptions;
use disinherit_lab::{Grown, Recipe};
use serde_json::json;

use super::fisher;
use crate::args::recipe::RecipeArgs;
use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, outln};
use crate::recipes;

/// Train an inheritance network from a recipe. A run that was stopped goes on where it was.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit grow fl-digits
  disinherit grow mine.toml --data photos/ --epochs 5 --seed 2")]
pub(crate) struct GrowArgs {
    /// A TOML file, or the name of a built-in recipe (`disinherit recipes` lists them).
    recipe: String,
    #[command(flatten)]
    settings: RecipeArgs,
    /// The layers whose Fisher information the cards keep: head, all, or patterns of tensor names
    /// with commas between them.
    #[arg(long, default_value = "head", value_name = "WHICH")]
    layers: Layers,
    /// Compute no FIM cards.
    #[arg(long)]
    no_fisher: bool,
    /// Train nothing: write down in this folder what another program is to train, retrained models
    /// included. `--trained` takes what it made.
    #[arg(long, value_name = "DIR", conflicts_with = "trained")]
    write_trainings: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &GrowArgs) -> Result<Outcome, CliError> {
    let recipe = recipes::load_with(&args.recipe, &args.settings)?;
    let splits = recipes::open_data(&recipe)?;
    if let Some(folder) = &args.write_trainings {
        let written = disinherit_lab::write_trainings(&recipe, &splits.train, folder)?;
        let written = written.display().to_string();
        match context.json {
            true => output::json(&json!({"trainings": written}))?,
            false => outln!("wrote {written}"),
        }
        return Ok(Outcome::Done);
    }
    let registry = context.registry()?;
    let engine = context.engine(registry, Some(&splits));
    let grown = disinherit_lab::grow(&engine, &recipe, &splits.train)?;
    if !args.no_fisher {
        let options = FisherOptions {
            estimator: recipe.fisher.estimator,
            layers: args.layers.clone(),
            samples: recipe.fisher.samples,
            seed: recipe.seed,
            ..FisherOptions::default()
        };
        fisher::cards(&engine, &grown.models, &options, false)?;
    }
    print(context, &recipe, &grown)?;
    Ok(Outcome::Done)
}

fn print(context: &Context, recipe: &Recipe, grown: &Grown) -> Result<(), CliError> {
    if context.json {
        let models: Vec<_> = grown
            .models
            .iter()
            .map(|id| json!({"model": id, "seconds": grown.seconds.get(id)}))
            .collect();
        return output::json(&json!({"recipe": recipe.name, "models": models}));
    }
    for id in &grown.models {
        match grown.seconds.get(id) {
            Some(seconds) if *seconds > 0.0 => outln!("grew {id} in {seconds:.1} s"),
            _ => outln!("{id} was there already"),
        }
    }
    Ok(())
}
