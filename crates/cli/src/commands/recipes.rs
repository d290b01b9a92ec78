//! `recipes`: the built-in recipes.

use clap::Args;
use disinherit_lab::BUILT_IN;
use serde_json::json;

use crate::context::Context;
use crate::error::CliError;
use crate::exit::Outcome;
use crate::output::{self, out, outln};
use crate::recipes::{load, text_of};

/// List the built-in recipes, or show one.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  disinherit recipes
  disinherit recipes fl-digits > mine.toml")]
pub(crate) struct RecipesArgs {
    /// The recipe to show.
    name: Option<String>,
}

pub(super) fn run(context: &Context, args: &RecipesArgs) -> Result<Outcome, CliError> {
    if let Some(name) = &args.name {
        out!("{}", text_of(name)?);
        return Ok(Outcome::Done);
    }
    let mut list = Vec::new();
    for (name, _) in BUILT_IN {
        list.push((*name, load(name)?.description));
    }
    if context.json {
        let list: Vec<_> = list
            .iter()
            .map(|(name, words)| json!({"name": name, "description": words}))
            .collect();
        output::json(&json!({"recipes": list}))?;
        return Ok(Outcome::Done);
    }
    for (name, words) in list {
        outln!("{name}\n    {words}");
    }
    Ok(Outcome::Done)
}
