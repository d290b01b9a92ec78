//! The log of the program: quiet unless `--log`, `DISINHERIT_LOG` or `RUST_LOG` asks for it.

use std::io::{self, IsTerminal, Write};

use indicatif::MultiProgress;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::error::CliError;

/// Writes events that pass `filter` to standard error, above the progress bars.
///
/// # Errors
/// A usage error when the filter cannot be read.
pub(crate) fn start(filter: Option<&str>, bars: &MultiProgress) -> Result<(), CliError> {
    let from_environment = std::env::var("RUST_LOG").ok();
    let text = filter.or(from_environment.as_deref()).unwrap_or_default();
    if text.trim().is_empty() {
        return Ok(());
    }
    let filter = EnvFilter::try_new(text).map_err(|error| {
        CliError::usage(format!(
            "cannot understand the log filter `{text}`: {error}"
        ))
        .help("a level such as `info`, or levels by target such as `disinherit=debug,warn`")
    })?;
    // A second start keeps the first one's filter.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(AboveBars(bars.clone()))
        .try_init();
    Ok(())
}

/// Standard error, with the bars out of the way while a line is written.
#[derive(Clone)]
struct AboveBars(MultiProgress);

impl<'a> MakeWriter<'a> for AboveBars {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for AboveBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A closed standard error is no reason to stop.
        let _ = self.0.suspend(|| io::stderr().lock().write_all(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
