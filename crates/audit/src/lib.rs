//! What an auditor reads of an erasure request, and what an auditor takes along: the [`report`], and a [`Bundle`]
//! that is checked offline with tools of others. All of it follows from what is on record; nothing is measured.

mod bundle;
mod error;
mod evidence;
mod record;
mod report;
mod when;

pub use bundle::{Bundle, BundleOptions};
pub use error::AuditError;
pub use evidence::{Evidence, SigningKey, training_in_words};
pub use record::Record;
pub use report::history::history;
pub use report::page::{STYLE, report, report_file};
pub use report::scope::{ModelLink, counts, graph_of, models, plural, still, unreached};
pub use report::words::{moment, state};
pub use when::{day, time};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExamples;
