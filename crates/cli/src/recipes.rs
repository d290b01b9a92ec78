//! Recipes: the built-in ones, and those in files.

use std::fs;

use disinherit::data::{OpenOptions, Splits, VOCABULARY};
use disinherit_lab::Recipe;

use crate::args::recipe::RecipeArgs;
use crate::error::CliError;

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../recipes/", $name, ".toml")))),*]
    };
}

/// The recipes that come with the program, with their names.
pub(crate) const BUILT_IN: &[(&str, &str)] = built_in![
    "fl-digits",
    "fl-digits-noniid",
    "fl-digits-residual",
    "ddpl-digits",
    "il-digits",
    "tl-digits",
    "tl-digits-residual",
    "multi-digits",
    "depth-digits",
    "samples-digits",
    "client-digits",
    "samples-cifar10",
    "samples-cifar10-resnet20",
    "samples-cifar10-resnet18",
    "client-cifar10",
    "fl-cifar10",
    "fl-cifar10-alexnet",
    "fl-cifar10-resnet20",
    "ddpl-cifar10",
    "il-cifar10",
    "tl-cifar10",
    "tl-cifar10-resnet20",
    "multi-cifar10",
    "fl-caltech101",
    "ddpl-caltech101",
    "il-caltech101",
    "tl-caltech101",
    "fl-newsgroups-lstm",
    "fl-newsgroups-gated-cnn",
];

/// The text of a built-in recipe.
pub(crate) fn built_in(name: &str) -> Result<&'static str, CliError> {
    find(name).ok_or_else(|| unknown(name, "there is no such recipe"))
}

/// A built-in recipe or one from a file.
pub(crate) fn load(name: &str) -> Result<Recipe, CliError> {
    let text = match find(name) {
        Some(text) => text.to_owned(),
        None => fs::read_to_string(name).map_err(|error| unknown(name, &error.to_string()))?,
    };
    Ok(Recipe::parse(&text)?)
}

/// The same with its settings replaced by what is given.
pub(crate) fn load_with(name: &str, settings: &RecipeArgs) -> Result<Recipe, CliError> {
    let mut recipe = load(name)?;
    settings.apply(&mut recipe);
    Ok(recipe)
}

/// The recipe's data.
pub(crate) fn open_data(recipe: &Recipe) -> Result<Splits, CliError> {
    let options = OpenOptions {
        size: recipe.data.size,
        tokenizer: recipe.data.tokenizer.clone(),
        vocabulary: recipe.data.vocabulary.unwrap_or(VOCABULARY),
    };
    disinherit::data::open(&recipe.data.source, &options).map_err(|error| {
        let error = CliError::from(error);
        match recipe.data.source.as_str() {
            "digits" => error,
            _ => error.help("say where the recipe's data is with `--data PATH`"),
        }
    })
}

fn find(name: &str) -> Option<&'static str> {
    let found = BUILT_IN.iter().find(|(known, _)| *known == name);
    found.map(|(_, text)| *text)
}

fn unknown(name: &str, why: &str) -> CliError {
    let known: Vec<&str> = BUILT_IN.iter().map(|(known, _)| *known).collect();
    CliError::new(format!("cannot read the recipe {name}: {why}"))
        .help(format!("give a TOML file, or one of {}", known.join(", ")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn all_built_in_recipes_can_be_read() {
        for (name, _) in BUILT_IN {
            assert_eq!(load(name).unwrap().name, *name);
        }
        let said = load("nothing.toml").unwrap_err().to_string();
        assert!(
            said.contains("nothing.toml") && said.contains("fl-digits"),
            "{said}"
        );
    }
}
