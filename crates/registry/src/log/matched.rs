//! How single samples were brought to the certainty of unseen ones, as the log keeps it.

use serde::{Deserialize, Serialize};

/// What matching did to one model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MatchedSamples {
    /// Samples that were to be forgotten.
    pub forgotten: usize,
    /// Retained samples whose answers were held, at most so many as were looked at.
    pub retained: usize,
    /// Samples that the model had never seen, which say how certain it should be.
    pub unseen: usize,
    /// Steps of training.
    pub steps: usize,
    /// The share of the initial models' change that was taken over first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried: Option<f64>,
    /// Whether samples were also looked at shifted, and mirrored where they are in colour.
    pub views: bool,
    /// Whether the head was all that could be changed.
    pub head_only: bool,
    /// The area under the curve that tells the forgotten samples from the unseen ones by certainty, before
    /// and after; 0.5 is chance. The samples it was aimed by: a verdict is taken on others.
    pub area: [f64; 2],
    /// The area that was aimed at: that of the certainties which models that never saw them would have.
    pub aim: f64,
}
