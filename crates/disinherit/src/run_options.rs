//! How a request is executed.

/// How a request is executed. Nothing of it decides what comes out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// Models edited at the same time; 0 for one per core.
    pub jobs: usize,
    /// Compute everything, write nothing.
    pub dry_run: bool,
    /// Return the changed tensors of every model in [`Done::changed`](crate::Done::changed).
    pub keep_weights: bool,
    /// Make a plan even where data is missing that its tasks need, or a model would be left with
    /// nothing; it can be shown, and is refused when it is run.
    pub plan_only: bool,
}
