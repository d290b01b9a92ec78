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
    /// The models of this part, for work that runs each on its own training samples.
    pub(crate) fn of_models(self, models: Vec<LoadedModel>) -> Vec<LoadedModel> {
        match self.shard {
            None => models,
            Some(shard) => shard.share(models, LoadedModel::cost_of_passes),
        }
    }
}
