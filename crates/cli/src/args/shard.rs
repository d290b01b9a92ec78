//! Work that several processes share.

use clap::Args;
use disinherit::LoadedModel;
use disinherit::umig::Shard;

#[derive(Debug, Args, Clone, Copy)]
pub(crate) struct ShardArgs {
    /// Do the I-th of N equal parts of the work, counted from 1. Every part may run on a machine of its own that
    /// reaches the registry and the data.
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<Shard>,
}

impl ShardArgs {
    /// The items of this part, of those that cost about the same.
    pub(crate) fn of_equals<T>(self, items: Vec<T>) -> Vec<T> {
        self.of(items, |_| 1)
    }

    /// The models of this part, for work that runs each on its own training samples.
    pub(crate) fn of_models(self, models: Vec<LoadedModel>) -> Vec<LoadedModel> {
        self.of(models, LoadedModel::cost_of_passes)
    }

    fn of<T>(self, items: Vec<T>, cost: impl Fn(&T) -> u64) -> Vec<T> {
        match self.shard {
            None => items,
            Some(shard) => shard.share(items, cost),
        }
    }
}
