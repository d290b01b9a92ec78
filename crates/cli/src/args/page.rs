//! How much of a long list is printed.

use clap::Args;

#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct PageArgs {
    /// How many at most.
    #[arg(
        long,
        default_value_t = 100,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    pub(crate) limit: u32,
}
