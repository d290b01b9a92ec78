//! Growing a network from a recipe.

use data::{OpenOptions, Splits};
use disinherit::{FisherOptions, GrowOptions, Recipe};
use serde_json::json;

use super::Context;
use crate::args::{GrowArgs, RecipeArgs};
use crate::error::CliError;
use crate::output;

const BUILT_IN: [(&str, &str); 6] = [
    (
        "fl-digits",
        include_str!("../../../../recipes/fl-digits.toml"),
    ),
    (
        "ddpl-digits",
        include_str!("../../../../recipes/ddpl-digits.toml"),
    ),
    (
        "il-digits",
        include_str!("../../../../recipes/il-digits.toml"),
    ),
    (
        "tl-digits",
        include_str!("../../../../recipes/tl-digits.toml"),
    ),
    (
        "fl-cifar10",
        include_str!("../../../../recipes/fl-cifar10.toml"),
    ),
    (
        "fl-cifar10-alexnet",
        include_str!("../../../../recipes/fl-cifar10-alexnet.toml"),
    ),
];

/// A built-in recipe or one from a file, with its settings replaced by what was given.
pub(super) fn recipe(name: &str, settings: &RecipeArgs) -> Result<Recipe, CliError> {
    let built_in = BUILT_IN.iter().find(|(known, _)| *known == name);
    let text = match built_in {
        Some((_, text)) => (*text).to_owned(),
        None => std::fs::read_to_string(name).map_err(|error| {
            let known = BUILT_IN.map(|(known, _)| known).join(", ");
            CliError::new(format!("cannot read the recipe {name}: {error}"))
                .help(format!("give a TOML file, or one of {known}"))
        })?,
    };
    let mut recipe = Recipe::parse(&text)?;
    if let Some(architecture) = &settings.architecture {
        recipe.network.architecture = architecture.parse()?;
    }
    if let Some(source) = &settings.data.data {
        recipe.data.source.clone_from(source);
    }
    recipe.data.size = settings.data.size.or(recipe.data.size);
    recipe.data.limit = settings.limit.or(recipe.data.limit);
    recipe.seed = settings.seed.unwrap_or(recipe.seed);
    recipe.training.learning_rate = settings
        .learning_rate
        .unwrap_or(recipe.training.learning_rate);
    if let Some(epochs) = settings.epochs {
        recipe.training.epochs = epochs;
        recipe
            .models
            .iter_mut()
            .for_each(|model| model.epochs = None);
    }
    Ok(recipe)
}

/// The recipe's data.
pub(super) fn recipe_data(recipe: &Recipe) -> Result<Splits, CliError> {
    let options = OpenOptions {
        size: recipe.data.size,
    };
    data::open(&recipe.data.source, &options).map_err(|error| {
        let error = CliError::from(error);
        match recipe.data.source.as_str() {
            "digits" => error,
            _ => error.help("say where the recipe's data is with `--data PATH`"),
        }
    })
}

pub(super) fn grow(context: &Context, args: &GrowArgs) -> Result<(), CliError> {
    let recipe = recipe(&args.recipe, &args.settings)?;
    let splits = recipe_data(&recipe)?;
    let registry = context.registry()?;
    let options = GrowOptions {
        compute: context.compute,
    };
    let grown = disinherit::grow(&registry, &recipe, &splits.train, &options, &context.bars)?;
    if !args.no_fisher {
        let fisher = FisherOptions {
            estimator: recipe.fisher.estimator,
            layers: args.layers.clone(),
            samples: recipe.fisher.samples,
            seed: recipe.seed,
            compute: context.compute,
            ..FisherOptions::default()
        };
        super::fisher::cards(context, &registry, &grown.models, &splits, &fisher, false)?;
    }
    if context.json {
        let seconds: Vec<_> = grown
            .models
            .iter()
            .map(|id| json!({"model": id, "seconds": grown.seconds.get(id)}))
            .collect();
        return output::json(&json!({"recipe": recipe.name, "models": seconds}));
    }
    for id in &grown.models {
        match grown.seconds.get(id) {
            Some(seconds) if *seconds > 0.0 => println!("grew {id} in {seconds:.1} s"),
            _ => println!("{id} was there already"),
        }
    }
    Ok(())
}
