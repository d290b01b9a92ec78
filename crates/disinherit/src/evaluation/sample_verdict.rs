//! How forgotten samples stand against samples that were never seen: on the whole, and the one that
//! stands out most.

use serde::{Deserialize, Serialize};

/// Forgotten samples beside held-out ones of the same labels, which are weighted so that labels are as
/// frequent among them. Shares and areas are between 0 and 1, losses in nats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SampleVerdict {
    /// Samples that are forgotten.
    pub forgotten: usize,
    /// Held-out samples of the same labels.
    pub unseen: usize,
    /// The accuracy on the forgotten samples, and on the unseen ones.
    pub accuracy: [f64; 2],
    /// The mean cross-entropy on the forgotten samples, and on the unseen ones.
    pub loss: [f64; 2],
    /// The area under the curve that tells forgotten from unseen samples by confidence, the log-odds of
    /// the true label; 0.5 is chance.
    pub area: f64,
    /// The ends of its 95 % interval (DeLong et al. 1988), for so few samples as these are.
    pub interval: [f64; 2],
    /// The sample that stands out most, so that no sample hides in an average.
    pub weakest: Weakest,
}

/// The forgotten sample that stands out most.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Weakest {
    /// Its id.
    pub id: String,
    /// The share of unseen samples that the model is less sure of. Some sample is the surest of any: among
    /// `n` that were never seen, the largest share is `n / (n + 1)` on the average.
    pub share: f64,
    /// By how much more sure of it the model is than the same model retrained without it, in nats of
    /// log-odds. Where there is a retrained model, the sample is the one for which this is largest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub above_retrained: Option<f64>,
}
