//! What trains a network, step by step.

use rand_chacha::ChaCha8Rng;

use super::objective::Objective;
use crate::array::StateDict;
use crate::error::NetError;

/// When a step is taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    /// Its number in the epoch.
    pub(super) step: usize,
    /// The learning rate.
    pub(super) rate: f64,
}

/// What one step made.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Made {
    /// The loss before the step; where it is no number, none was taken.
    pub(super) loss: f64,
    /// Samples of the first term, and how many of them were named right.
    pub(super) samples: usize,
    pub(super) right: usize,
}

/// A network in training.
pub(super) trait Engine {
    /// A step on the next batch of every term, with dropout and random changes of images.
    fn step(
        &mut self,
        objective: &mut Objective<'_>,
        turn: Turn,
        rng: &mut ChaCha8Rng,
    ) -> Result<Made, NetError>;

    /// The gradient of the first term over some of its samples, without dropout and random changes.
    fn gradient(
        &mut self,
        objective: &Objective<'_>,
        batch: &[usize],
    ) -> Result<StateDict, NetError>;

    /// The weights.
    fn finish(self: Box<Self>) -> Result<StateDict, NetError>;
}

/// How many samples' own row has the largest logit, alone. `logits`: `[samples, rows of the head]`, of the
/// samples at `indices`.
pub(super) fn right(logits: &[f32], rows: &[u32], indices: &[usize]) -> usize {
    let classes = logits.len() / indices.len().max(1);
    logits
        .chunks_exact(classes.max(1))
        .zip(indices)
        .filter(|(z, index)| {
            let row = rows[**index] as usize;
            z.iter().enumerate().all(|(k, v)| *v < z[row] || k == row)
        })
        .count()
}
