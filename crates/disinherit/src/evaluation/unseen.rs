//! The held-out samples that show what not having been trained on looks like.

use std::collections::BTreeSet;

use fiun::label_weights;

use super::attack::FEWEST;
use super::evaluation_set::EvaluationSet;

/// Forget samples of single-sample requests without which an area says nothing.
const FEWEST_SINGLE: usize = 5;

/// Held-out samples beside which forget samples are put.
pub(super) struct Unseen {
    /// Their places in the held-out split.
    pub(super) picked: Vec<usize>,
    /// Their weights, under which their labels are as frequent as among the forget samples.
    pub(super) weights: Vec<f64>,
    /// Forget samples that are needed beside them.
    pub(super) fewest: usize,
}

impl Unseen {
    /// The held-out samples of the forgotten classes; where single samples are forgotten, those of their
    /// labels.
    pub(super) fn for_set(set: &EvaluationSet) -> Self {
        let (own, heldout) = (&set.own, &set.heldout);
        if !heldout.forget.is_empty() {
            return Self {
                picked: heldout.forget.clone(),
                weights: vec![1.0; heldout.forget.len()],
                fewest: FEWEST,
            };
        }
        let label = |set: &[Option<u32>], at: usize| set[at].map_or(u32::MAX, |row| row);
        let of_forget: Vec<u32> = own.forget.iter().map(|at| label(&own.rows, *at)).collect();
        let labels: BTreeSet<u32> = of_forget.iter().copied().collect();
        let picked: Vec<usize> = heldout
            .retain
            .iter()
            .copied()
            .filter(|at| labels.contains(&label(&heldout.rows, *at)))
            .collect();
        let of_unseen: Vec<u32> = picked.iter().map(|at| label(&heldout.rows, *at)).collect();
        Self {
            weights: label_weights(&of_forget, &of_unseen, 0.0),
            picked,
            fewest: FEWEST_SINGLE,
        }
    }
}
