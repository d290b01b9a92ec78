//! Log records of the engine, handed to Python's `logging`.

use std::fmt::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

use pyo3::prelude::*;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::errors::refused;

/// The levels of Python's `logging`, with ours.
const LEVELS: [(u8, LevelFilter); 5] = [
    (5, LevelFilter::TRACE),
    (10, LevelFilter::DEBUG),
    (20, LevelFilter::INFO),
    (30, LevelFilter::WARN),
    (40, LevelFilter::ERROR),
];

/// The least level that is handed over, as Python numbers it.
static LEAST: AtomicU8 = AtomicU8::new(u8::MAX);
static STARTED: OnceLock<bool> = OnceLock::new();

/// Hands over what happens from a level on, as Python numbers it; called again, from another one.
#[pyfunction]
pub(crate) fn log_from(level: u8) -> PyResult<()> {
    LEAST.store(level, Ordering::Relaxed);
    tracing::callsite::rebuild_interest_cache();
    match STARTED.get_or_init(|| tracing::subscriber::set_global_default(ToPython).is_ok()) {
        true => Ok(()),
        false => Err(refused("log records go somewhere else in this process")),
    }
}

fn least() -> LevelFilter {
    let least = LEAST.load(Ordering::Relaxed);
    let first = LEVELS.into_iter().find(|(number, _)| least <= *number);
    first.map_or(LevelFilter::OFF, |(_, level)| level)
}

struct ToPython;

impl Subscriber for ToPython {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("disinherit") && *metadata.level() <= least()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(least())
    }

    fn event(&self, event: &Event<'_>) {
        let mut words = Words::default();
        event.record(&mut words);
        let level = match *event.metadata().level() {
            Level::ERROR => 40,
            Level::WARN => 30,
            Level::INFO => 20,
            Level::DEBUG => 10,
            Level::TRACE => 5,
        };
        let target = event.metadata().target().replace("::", ".");
        let logger = match target.strip_prefix("disinherit_") {
            Some(below) => format!("disinherit.{below}"),
            None => target,
        };
        // A handler that fails must not stop the work.
        let _ = Python::attach(|py| hand_over(py, &logger, level, &words.text()));
    }

    // Nothing below opens spans.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn hand_over(py: Python<'_>, logger: &str, level: u8, words: &str) -> PyResult<()> {
    let logger = py.import("logging")?.call_method1("getLogger", (logger,))?;
    logger.call_method1("log", (level, "%s", words)).map(drop)
}

/// The message of an event, and its fields.
#[derive(Default)]
struct Words {
    message: String,
    fields: String,
}

impl Words {
    fn text(&self) -> String {
        format!("{}{}", self.message, self.fields)
    }
}

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a text does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}
