//! Recipes: the built-in ones, and those in files.

use std::fs;

use disinherit::data::{OpenOptions, Splits, VOCABULARY};
use disinherit_lab::{BUILT_IN, Recipe, built_in};

use crate::args::recipe::RecipeArgs;
use crate::error::CliError;

/// The text of a built-in recipe.
pub(crate) fn text_of(name: &str) -> Result<&'static str, CliError> {
    built_in(name).ok_or_else(|| unknown(name, "there is no such recipe"))
}

/// A built-in recipe or one from a file.
pub(crate) fn load(name: &str) -> Result<Recipe, CliError> {
    let text = match built_in(name) {
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
