//! What can go wrong.

/// A page, a picture or a table that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Settings that cannot be written down.
    #[error("the report cannot be written: {0}")]
    Json(#[from] serde_json::Error),
    /// A table that cannot be written.
    #[error("the table cannot be written: {0}")]
    Csv(String),
    /// Nothing to report on.
    #[error("there is no study to report on")]
    Empty,
}

impl From<csv::Error> for ReportError {
    fn from(error: csv::Error) -> Self {
        Self::Csv(error.to_string())
    }
}
