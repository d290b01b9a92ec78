//! The page a person reads afterwards: one offline HTML file.

use disinherit::Study;
use umig::Umig;

/// What last-layer forgetting is and is not, in one sentence.
pub const HONEST: &str = "Only the last layer was edited: the models no longer name the forgotten \
class, but their inner features still tell its samples apart, so whoever trains a new last layer \
on such samples can bring it back.";

/// A page that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A number that JSON cannot hold.
    #[error("the report cannot be written: {0}")]
    Json(#[from] serde_json::Error),
}

/// The page.
///
/// # Errors
/// [`ReportError`].
pub fn page(study: &Study, _: &Umig) -> Result<String, ReportError> {
    Ok(serde_json::to_string(study)?)
}
