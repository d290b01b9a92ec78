//! Progress bars on standard error: shown when work takes longer than a second, gone when it is
//! done, none when piped.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use disinherit::progress::{Progress, Stage};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

const PATIENCE: Duration = Duration::from_secs(1);

/// Bars on a terminal.
pub(crate) struct Bars {
    all: MultiProgress,
    shown: bool,
}

impl Bars {
    /// The place where bars are drawn; other lines to standard error are written while it is
    /// suspended.
    pub(crate) fn all(&self) -> &MultiProgress {
        &self.all
    }

    /// Bars, unless standard error is no terminal or the user wants quiet.
    pub(crate) fn new(quiet: bool) -> Self {
        Self {
            all: MultiProgress::new(),
            shown: !quiet && std::io::stderr().is_terminal(),
        }
    }
}

impl Progress for Bars {
    fn stage(&self, title: &str, total: u64) -> Box<dyn Stage + '_> {
        Box::new(Bar {
            owner: self,
            title: title.to_owned(),
            total,
            start: Instant::now(),
            bar: Mutex::new(None),
            done: Mutex::new((0, String::new())),
        })
    }
}

struct Bar<'a> {
    owner: &'a Bars,
    title: String,
    total: u64,
    start: Instant,
    bar: Mutex<Option<ProgressBar>>,
    done: Mutex<(u64, String)>,
}

impl Bar<'_> {
    fn draw(&self) {
        if !self.owner.shown || self.start.elapsed() < PATIENCE {
            return;
        }
        let (Ok(mut slot), Ok(done)) = (self.bar.lock(), self.done.lock()) else {
            return;
        };
        let bar = slot.get_or_insert_with(|| {
            let style = "{prefix:24} {wide_bar} {pos}/{len} {elapsed} eta {eta} {msg}";
            let bar = self.owner.all.add(ProgressBar::new(self.total));
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style);
            }
            bar.with_prefix(self.title.clone())
                .with_elapsed(self.start.elapsed())
        });
        bar.set_position(done.0);
        bar.set_message(done.1.clone());
    }
}

impl Stage for Bar<'_> {
    fn advance(&self, steps: u64) {
        if let Ok(mut done) = self.done.lock() {
            done.0 += steps;
        }
        self.draw();
    }

    fn note(&self, words: &str) {
        if let Ok(mut done) = self.done.lock() {
            done.1 = words.to_owned();
        }
        self.draw();
    }
}

impl Drop for Bar<'_> {
    fn drop(&mut self) {
        if let Ok(Some(bar)) = self.bar.lock().map(|mut slot| slot.take()) {
            bar.finish_and_clear();
        }
    }
}
