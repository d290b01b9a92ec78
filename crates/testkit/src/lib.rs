//! Servers that tests start for themselves, each with an empty store of its own that goes when it
//! goes: PostgreSQL (from the machine's packages) and an S3-compatible server (in this process); and a slow or
//! failing network in front of them.

mod postgres;
mod proxy;
mod s3;

pub use postgres::Postgres;
pub use proxy::Proxy;
pub use s3::S3;

use std::io::Write;

/// Says something on the error output, past the capture of the test harness.
pub fn note(words: &str) {
    let _ = writeln!(std::io::stderr(), "{words}");
}

/// Says that something was not tested.
pub fn skipped(what: &str, why: &str) {
    note(&format!("SKIPPED: {what}: {why}"));
}
