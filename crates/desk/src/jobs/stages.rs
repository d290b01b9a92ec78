//! The stage that a job is at, as it says it of itself.

use std::sync::{Mutex, MutexGuard, PoisonError};

use disinherit::progress::{Progress, Stage};

/// The stage that a job is at.
#[derive(Debug, Default)]
pub(super) struct Stages {
    now: Mutex<(String, u64, u64)>,
}

impl Stages {
    /// In words, with how far it is.
    pub(super) fn text(&self) -> String {
        let (title, done, total) = &*self.now();
        match total {
            0 => title.clone(),
            total => format!("{title}: {done} of {total}"),
        }
    }

    /// A stage begins, of so many steps.
    pub(super) fn begin(&self, title: &str, total: u64) {
        *self.now() = (title.to_owned(), 0, total);
    }

    /// So many of its steps are done.
    pub(super) fn add(&self, steps: u64) {
        self.now().1 += steps;
    }

    fn now(&self) -> MutexGuard<'_, (String, u64, u64)> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Stages {
    fn stage(&self, title: &str, total: u64) -> Box<dyn Stage + '_> {
        self.begin(title, total);
        Box::new(Shown(self))
    }
}

struct Shown<'a>(&'a Stages);

impl Stage for Shown<'_> {
    fn advance(&self, steps: u64) {
        self.0.add(steps);
    }

    fn note(&self, _: &str) {}
}
