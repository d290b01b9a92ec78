//! Growing a network from a recipe.

use disinherit::{FisherOptions, GrowOptions, Recipe};
use disinherit_data::{OpenOptions, Splits};
use serde_json::json;

use super::Context;
use crate::args::{GrowArgs, RecipeArgs};
use crate::error::CliError;
use crate::output;

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../../recipes/", $name, ".toml")))),*]
    };
}

/// The recipes that come with the program.
const BUILT_IN: &[(&str, &str)] = built_in![
    "fl-digits",
    "fl-digits-noniid",
    "ddpl-digits",
    "il-digits",
    "tl-digits",
    "multi-digits",
    "depth-digits",
    "fl-cifar10",
    "fl-cifar10-alexnet",
    "ddpl-cifar10",
    "il-cifar10",
    "tl-cifar10",
    "multi-cifar10",
    "fl-caltech101",
    "ddpl-caltech101",
    "il-caltech101",
    "tl-caltech101",
    "fl-newsgroups-lstm",
    "fl-newsgroups-gated-cnn",
];

/// Lists the built-in recipes, or prints one.
pub(super) fn recipes(context: &Context, name: Option<&str>) -> Result<(), CliError> {
    if let Some(name) = name {
        let found = BUILT_IN.iter().find(|(known, _)| *known == name);
        let (_, text) = found.ok_or_else(|| unknown(name, "there is no such recipe"))?;
        print!("{text}");
        return Ok(());
    }
    let mut list = Vec::new();
    for (name, text) in BUILT_IN {
        list.push((*name, Recipe::parse(text)?.description));
    }
    if context.json {
        let list: Vec<_> = list
            .iter()
            .map(|(name, words)| json!({"name": name, "description": words}))
            .collect();
        return output::json(&json!({"recipes": list}));
    }
    for (name, words) in list {
        println!("{name}\n    {words}");
    }
    Ok(())
}

fn unknown(name: &str, why: &str) -> CliError {
    let known: Vec<&str> = BUILT_IN.iter().map(|(known, _)| *known).collect();
    CliError::new(format!("cannot read the recipe {name}: {why}"))
        .help(format!("give a TOML file, or one of {}", known.join(", ")))
}

/// A built-in recipe or one from a file, with its settings replaced by what was given.
pub(super) fn recipe(name: &str, settings: Option<&RecipeArgs>) -> Result<Recipe, CliError> {
    let built_in = BUILT_IN.iter().find(|(known, _)| *known == name);
    let text = match built_in {
        Some((_, text)) => (*text).to_owned(),
        None => std::fs::read_to_string(name).map_err(|error| unknown(name, &error.to_string()))?,
    };
    let mut recipe = Recipe::parse(&text)?;
    let Some(settings) = settings else {
        return Ok(recipe);
    };
    if let Some(architecture) = &settings.architecture {
        recipe.network.architecture = architecture.parse()?;
    }
    if let Some(source) = &settings.data.data {
        recipe.data.source.clone_from(source);
    }
    recipe.data.tokenizer = settings.data.tokenizer.clone().or(recipe.data.tokenizer);
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
        tokenizer: recipe.data.tokenizer.clone(),
        vocabulary: recipe
            .data
            .vocabulary
            .unwrap_or(disinherit_data::VOCABULARY),
    };
    disinherit_data::open(&recipe.data.source, &options).map_err(|error| {
        let error = CliError::from(error);
        match recipe.data.source.as_str() {
            "digits" => error,
            _ => error.help("say where the recipe's data is with `--data PATH`"),
        }
    })
}

pub(super) fn grow(context: &Context, args: &GrowArgs) -> Result<(), CliError> {
    let recipe = recipe(&args.recipe, Some(&args.settings))?;
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
