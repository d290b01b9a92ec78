//! How stored bytes become numbers.

use serde::{Deserialize, Serialize};

use crate::error::NetError;

/// How pixels become numbers: `(value / 255 - mean) / std`, channel by channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// The mean of each channel (one value serves all).
    pub mean: Vec<f32>,
    /// The standard deviation of each channel (one value serves all).
    pub std: Vec<f32>,
    /// Tokens of a text that are read, where the network itself does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<usize>,
}

impl Default for Preprocessing {
    fn default() -> Self {
        Self {
            mean: vec![0.5],
            std: vec![0.5],
            length: None,
        }
    }
}

impl Preprocessing {
    /// Checks that there is one value, or one for each channel, and that all are usable.
    ///
    /// # Errors
    /// [`NetError::Data`].
    pub fn check(&self, channels: usize) -> Result<(), NetError> {
        let fits = |list: &[f32]| list.len() == 1 || list.len() == channels;
        if !fits(&self.mean) || !fits(&self.std) {
            return Err(NetError::Data(format!(
                "mean has {} values and std {}, for {channels} channels give 1 or {channels}",
                self.mean.len(),
                self.std.len()
            )));
        }
        let usable = self.mean.iter().all(|m| m.is_finite())
            && self.std.iter().all(|s| s.is_finite() && *s > 0.0);
        if !usable {
            return Err(NetError::Data("mean must be finite and std above 0".into()));
        }
        Ok(())
    }

    /// `(value / 255 - mean) / std` as scale and offset of the stored byte.
    pub(crate) fn scale(&self, channel: usize) -> (f32, f32) {
        let of = |list: &[f32]| list.get(channel).or(list.first()).copied().unwrap_or(0.5);
        let (mean, std) = (of(&self.mean), of(&self.std));
        (1.0 / (255.0 * std), -mean / std)
    }
}
