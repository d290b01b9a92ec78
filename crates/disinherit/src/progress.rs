//! How long work reports its progress.

/// Shows the stages of long work.
pub trait Progress: Sync {
    /// A stage begins: `title` in words, `total` steps.
    fn stage(&self, title: &str, total: u64) -> Box<dyn Stage + '_>;
}

/// One stage; it is over when it is dropped.
pub trait Stage: Sync {
    /// Some steps are done.
    fn advance(&self, steps: u64);
    /// What is going on, in words.
    fn note(&self, words: &str);
}

/// Shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn stage(&self, _: &str, _: u64) -> Box<dyn Stage + '_> {
        Box::new(Self)
    }
}

impl Stage for Silent {
    fn advance(&self, _: u64) {}
    fn note(&self, _: &str) {}
}
