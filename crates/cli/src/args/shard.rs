//! Work that several processes share.

use clap::Args;
use disinherit::LoadedModel;
use disinherit::umig::Shard;

use crate::error::CliError;

/// The version of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[derive(Debug, Args, Clone)]
pub(crate) struct ShardArgs {
    /// Do the I-th of N equal parts of the work, counted from 1. Every part may run on a machine of its own that
    /// reaches the registry and the data.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Refuse to work unless this program is of that version, since what two versions compute may differ. A
    /// script that submits shards sets it to its own.
    #[arg(long, value_name = "VERSION", env = "DISINHERIT_EXPECT_VERSION")]
    expect_version: Option<String>,
}

impl ShardArgs {
    /// The part to do; `None` for all of the work.
    ///
    /// # Errors
    /// When another version of the program is expected to do it.
    pub(crate) fn shard(&self) -> Result<Option<Shard>, CliError> {
        let other = |expected: &&str| *expected != VERSION;
        match self.expect_version.as_deref().filter(other) {
            None => Ok(self.shard),
            Some(expected) => Err(CliError::new(format!(
                "version {expected} of disinherit is expected here, and this is version {VERSION}: what they \
                 compute may differ"
            ))
            .help("install the same version on every machine that has a share in the work")),
        }
    }

    /// The models of this part, for work that runs each on its own training samples.
    ///
    /// # Errors
    /// As [`ShardArgs::shard`].
    pub(crate) fn of_models(&self, models: Vec<LoadedModel>) -> Result<Vec<LoadedModel>, CliError> {
        Ok(match self.shard()? {
            None => models,
            Some(shard) => shard.share(models, LoadedModel::cost_of_passes),
        })
    }
}
