//! Flags of the commands that keep a registry: what is listed, purged and certified.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::DataArgs;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StateArg {
    /// In use.
    Current,
    /// Replaced by a later version, and kept.
    Superseded,
    /// Deleted but for the record.
    Purged,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only names that start so.
    #[arg(default_value = "")]
    pub(crate) prefix: String,
    /// Only versions in this state.
    #[arg(long, value_enum)]
    pub(crate) state: Option<StateArg>,
    /// Start after this version: the last of the page before.
    #[arg(long, value_name = "NAME@VERSION")]
    pub(crate) after: Option<umig::ModelId>,
    /// How many at most.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(false))]
pub(crate) struct PurgeArgs {
    /// The superseded versions, as name@version.
    #[arg(group = "which")]
    pub(crate) models: Vec<umig::ModelId>,
    /// All that a request replaced: its id, or the number of its operation.
    #[arg(long, group = "which", value_name = "REQUEST")]
    pub(crate) request: Option<String>,
    /// All that have been superseded for longer than the registry's retention (`retention`).
    #[arg(long, group = "which")]
    pub(crate) due: bool,
    /// All that have been superseded for longer than this, such as 30d or 12h.
    #[arg(long, group = "which", value_name = "TIME")]
    pub(crate) older_than: Option<String>,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Say what would go, and delete nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CertifyArgs {
    /// The request's id, or the number of its operation; the last one when not given.
    pub(crate) request: Option<String>,
    /// The key to sign with (`disinherit key FILE` makes one).
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// Where the certificate goes.
    #[arg(long, default_value = "certificate.json", value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Replace the file if it is there.
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// The largest accuracy on forgotten held-out data that passes, 0 to 1.
    #[arg(long, default_value_t = disinherit::FORGOTTEN, value_name = "X")]
    pub(crate) at_most: f64,
}
