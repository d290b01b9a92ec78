//! What replaces a recipe's settings.

use std::path::PathBuf;

use clap::Args;
use disinherit::nets::Kind;
use disinherit_lab::Recipe;

use super::data::DataArgs;

#[derive(Debug, Args, Clone)]
pub(crate) struct RecipeArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Replaces the recipe's network.
    #[arg(long, value_name = "NAME")]
    pub(crate) architecture: Option<Kind>,
    /// Replaces the recipe's number of epochs.
    #[arg(long, value_name = "N")]
    pub(crate) epochs: Option<usize>,
    /// Replaces the recipe's learning rate.
    #[arg(long, value_name = "X")]
    pub(crate) learning_rate: Option<f64>,
    /// Use at most this many training samples.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Replaces the recipe's seed.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Train nothing: take the models, and the retrained ones, from checkpoints that another program
    /// trained in this folder, as `disinherit grow --write-trainings` listed them.
    #[arg(long, value_name = "DIR")]
    pub(crate) trained: Option<PathBuf>,
}

impl RecipeArgs {
    /// Replaces what is given.
    pub(crate) fn apply(&self, recipe: &mut Recipe) {
        if let Some(architecture) = self.architecture {
            recipe.network.architecture = architecture;
        }
        if let Some(source) = &self.data.data {
            recipe.data.source.clone_from(source);
        }
        if let Some(tokenizer) = &self.data.tokenizer {
            recipe.data.tokenizer = Some(tokenizer.clone());
        }
        recipe.trained.clone_from(&self.trained);
        recipe.data.size = self.data.size.or(recipe.data.size);
        recipe.data.limit = self.limit.or(recipe.data.limit);
        recipe.seed = self.seed.unwrap_or(recipe.seed);
        recipe.training.learning_rate = self.learning_rate.unwrap_or(recipe.training.learning_rate);
        if let Some(epochs) = self.epochs {
            recipe.training.epochs = epochs;
            recipe
                .models
                .iter_mut()
                .for_each(|model| model.epochs = None);
        }
    }
}
