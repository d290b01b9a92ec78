//! The stage that a job is at, as it says it of itself.

use std::sync::{Mutex, PoisonError};

use disinherit::progress::{Progress, Stage};

/// The stage that a job is at.
#[derive(Debug, Default)]
pub(super) struct Stages {
    now: Mutex<(String, u64, u64)>,
}

impl Stages {
    /// In words, with how far it is.
    pub(super) fn text(&self) -> String {
        let (title, done, total) = &*self.now.lock().unwrap_or_else(PoisonError::into_inner);
        match total {
            0 => title.clone(),
            total => format!("{title}: {done} of {total}"),
        }
    }
}

impl Progress for Stages {
    fn stage(&self, title: &str, total: u64) -> Box<dyn Stage + '_> {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = (title.to_owned(), 0, total);
        Box::new(Shown(self))
    }
}

struct Shown<'a>(&'a Stages);

impl Stage for Shown<'_> {
    fn advance(&self, steps: u64) {
        self.0.now.lock().unwrap_or_else(PoisonError::into_inner).1 += steps;
    }

    fn note(&self, _: &str) {}
}
