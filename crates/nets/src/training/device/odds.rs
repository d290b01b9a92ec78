//! A distance of log-odds: what holds a network to a given certainty, where probabilities are so near
//! to 1 that a divergence no longer sees the difference.

use burn::nn::loss::{HuberLossConfig, Reduction};
use burn::tensor::{Device, Tensor, TensorData};

use crate::training::term::Odds;

/// What is taken from the logit of the sample's own row, so that the others are left.
const LEFT_OUT: f32 = -1e30;

/// The weighted mean distance over a batch. `logits`: `[batch, rows of the head]`.
pub(super) fn odds_distance(
    odds: &Odds<'_>,
    indices: &[usize],
    logits: Tensor<2>,
    device: &Device,
) -> Tensor<1> {
    let [batch, classes] = logits.dims();
    let mut own = vec![0.0f32; batch * classes];
    for (sample, &index) in indices.iter().enumerate() {
        own[sample * classes + odds.rows[index] as usize] = 1.0;
    }
    let own = Tensor::<2>::from_data(TensorData::new(own, [batch, classes]), device);
    let targets: Vec<f32> = indices.iter().map(|&index| odds.targets[index]).collect();
    let targets = Tensor::<2>::from_data(TensorData::new(targets, [batch, 1]), device);
    let found = log_odds(logits, own);
    let huber = HuberLossConfig::new(1.0).init();
    huber.forward(found, targets, Reduction::Mean) * odds.weight
}

/// `[batch, 1]`; `own` is 1 at each sample's row and 0 elsewhere.
fn log_odds(logits: Tensor<2>, own: Tensor<2>) -> Tensor<2> {
    let others = logits.clone() + own.clone() * LEFT_OUT;
    let top = others.clone().max_dim(1).detach();
    let sum = (others - top.clone()).exp().sum_dim(1).log() + top;
    (logits * own).sum_dim(1) - sum
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::compute::Compute;
    use crate::device::transfer::read;

    /// Of two samples: one to one against two equal others, and one far above them.
    #[test]
    fn the_distance_is_that_of_the_log_odds() {
        let device = Compute::Flex.device();
        let odds = |target: f32| {
            let logits = TensorData::new(vec![0.0f32, 0.0, 0.0, 50.0, 0.0, 0.0], [2, 3]);
            let logits = Tensor::<2>::from_data(logits, &device);
            let targets = [9.0, target, 50.0 - 2f32.ln()];
            let odds = Odds {
                rows: &[2, 1, 0],
                targets: &targets,
                weight: 2.0,
            };
            read(odds_distance(&odds, &[1, 2], logits, &device)).unwrap()[0]
        };
        // The first sample's log-odds are -ln 2; the second's are met.
        assert!(odds(-(2f32.ln())).abs() < 1e-5);
        // Half a square below 1, a straight line above; twice the mean of two.
        assert!((odds(0.5 - 2f32.ln()) - 0.125).abs() < 1e-5);
        assert!((odds(3.0 - 2f32.ln()) - 2.5).abs() < 1e-4);
    }
}
