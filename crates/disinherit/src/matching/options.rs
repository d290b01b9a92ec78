//! Matching's options.

use disinherit_data::DataSet;
use disinherit_nets::Augment;
use serde::{Deserialize, Serialize};

use crate::error::EngineError;

/// Pixels of an image's side for one pixel of shift.
const SIDE_PER_PIXEL: usize = 8;

/// How matching trains. The defaults were chosen on the embedded digits, seeds 1 to 3 (docs/samples.md).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MatchingOptions {
    /// Rounds at an initial model: after each the aims are taken anew.
    pub rounds: usize,
    /// Rounds at an inherited model, which starts with the initial models' change.
    pub inherited_rounds: usize,
    /// Steps of a round, at least: more where the forget samples would not all be seen.
    pub steps: usize,
    /// The learning rate of the first round; it falls to a tenth along half a cosine.
    pub learning_rate: f64,
    /// The share of the initial models' change that their descendants take over.
    pub carry: f64,
    /// Decides what is drawn.
    pub seed: u64,
}

impl Default for MatchingOptions {
    fn default() -> Self {
        Self {
            rounds: 6,
            inherited_rounds: 3,
            steps: 10,
            learning_rate: 0.01,
            carry: 0.85,
            seed: 1,
        }
    }
}

impl MatchingOptions {
    pub(super) fn check(&self) -> Result<(), EngineError> {
        let refuse = |what: &str| Err(EngineError::Setting(what.to_owned()));
        if self.rounds == 0 || self.inherited_rounds == 0 || self.steps == 0 {
            return refuse("matching needs at least one round and one step");
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return refuse("the learning rate must be a positive number");
        }
        if !(0.0..=1.0).contains(&self.carry) {
            return refuse("the share of the initial models' change must be between 0 and 1");
        }
        Ok(())
    }

    pub(super) fn rounds(&self, inherited: bool) -> usize {
        if inherited {
            self.inherited_rounds
        } else {
            self.rounds
        }
    }

    /// How samples are looked at otherwise than they are: images shifted by a pixel for every eight of
    /// their side, and mirrored where they are in colour. A digit that is mirrored is no digit, and grey
    /// images are more often signs than scenes. Nothing for other samples.
    pub(super) fn views_of(&self, set: &DataSet) -> Option<Augment> {
        let shape = set.image_shape()?;
        Some(Augment {
            crop: (shape.width.min(shape.height) / SIDE_PER_PIXEL).max(1),
            flip: shape.channels == 3,
        })
    }
}
