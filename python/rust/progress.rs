//! Progress shown by a Python object: called with a title and a total, it gives one with
//! `update(n)` and `close()`, as `tqdm` does.

use disinherit::progress::{Progress, Silent, Stage};
use pyo3::prelude::*;

/// Shows the stages of long work through Python.
pub(crate) struct Shown(pub(crate) Option<Py<PyAny>>);

struct Bar(Py<PyAny>);

impl Progress for Shown {
    fn stage(&self, title: &str, total: u64) -> Box<dyn Stage + '_> {
        let bar = self
            .0
            .as_ref()
            .and_then(|make| Python::attach(|py| make.call1(py, (title, total)).ok()));
        match bar {
            Some(bar) => Box::new(Bar(bar)),
            None => Box::new(Silent),
        }
    }
}

impl Stage for Bar {
    fn advance(&self, steps: u64) {
        // A bar that fails must not stop the work.
        Python::attach(|py| drop(self.0.call_method1(py, "update", (steps,))));
    }

    fn note(&self, _: &str) {}
}

impl Drop for Bar {
    fn drop(&mut self) {
        Python::attach(|py| drop(self.0.call_method0(py, "close")));
    }
}
