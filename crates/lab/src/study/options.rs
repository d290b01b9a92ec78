//! How a study is run.

use std::path::PathBuf;

use disinherit::FiunOptions;
use disinherit::evaluation::Depth;

use crate::variant::Variant;

/// The shadow networks without which nothing can be said: with the study's own network, two are left for a
/// variance when one is attacked.
pub const FEWEST_SHADOWS: usize = 2;

/// How to run a study.
#[derive(Debug, Clone)]
pub struct StudyOptions {
    /// How to dampen.
    pub fiun: FiunOptions,
    /// Models edited at the same time; 0 for one per core.
    pub jobs: usize,
    /// The methods to compare. Retraining is run first, whatever the order: others are measured
    /// against it.
    pub variants: Vec<Variant>,
    /// The verdicts.
    pub depth: Depth,
    /// The variant whose edits are published; everything else leaves the registry as it is.
    pub publish: Option<Variant>,
    /// A folder that keeps what is finished, so that a study that was stopped goes on there.
    pub keep: Option<PathBuf>,
    /// Networks that are grown with other training seeds, unlearned and retrained, to see which models the
    /// edited ones are like; 0 for none, at least [`FEWEST_SHADOWS`] otherwise. Each has a registry of its own
    /// in [`StudyOptions::keep`], or in memory.
    pub shadows: usize,
}
