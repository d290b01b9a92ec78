//! How long work reports its progress, and is asked to stop.

use std::sync::atomic::{AtomicBool, Ordering};

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

/// Asks long work to stop. It does so before its next task: what it has finished is kept, and taken up when
/// it is done again.
#[derive(Debug, Default)]
pub struct Stop(AtomicBool);

impl Stop {
    /// Asks, for good.
    pub fn ask(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether it was asked.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
