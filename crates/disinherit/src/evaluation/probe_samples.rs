//! Which samples a linear probe learns from, and which it is judged on.

use super::evaluation_set::EvaluationSet;
use super::sampling::drawn;

/// Samples of each kind that the probe learns from, and is judged on.
const SAMPLES: usize = 200;

/// Each seed draws other samples.
pub(super) const SEEDS: [u64; 3] = [0, 1, 2];

/// The samples of one draw, as places in the model's own samples or in the held-out ones.
pub(super) struct ProbeSamples {
    /// Whether it learns from held-out samples: the model has no forget data of its own.
    pub(super) learns_heldout: bool,
    /// Those that it learns from.
    pub(super) forget: Vec<usize>,
    pub(super) retain: Vec<usize>,
    /// The held-out ones that it is judged on.
    pub(super) judged: Vec<usize>,
    pub(super) others: Vec<usize>,
}

impl ProbeSamples {
    /// One draw. Where the model has no forget data of its own, the probe learns from every second
    /// held-out sample and is judged on the others.
    pub(super) fn draw(set: &EvaluationSet, seed: u64) -> Self {
        let (own, heldout) = (&set.own, &set.heldout);
        let every_second = |list: &[usize], first: usize| -> Vec<usize> {
            list.iter().copied().skip(first).step_by(2).collect()
        };
        let learns_heldout = own.forget.is_empty();
        let (forget, retain, judged, others) = if learns_heldout {
            (
                every_second(&heldout.forget, 0),
                every_second(&heldout.retain, 0),
                every_second(&heldout.forget, 1),
                every_second(&heldout.retain, 1),
            )
        } else {
            (
                own.forget.clone(),
                own.retain.clone(),
                heldout.forget.clone(),
                heldout.retain.clone(),
            )
        };
        let forget = drawn(&forget, SAMPLES, seed);
        Self {
            learns_heldout,
            retain: drawn(&retain, forget.len(), seed),
            forget,
            judged: drawn(&judged, SAMPLES, seed),
            others: drawn(&others, SAMPLES, seed),
        }
    }

    /// The places that any draw looks at: of the model's own samples, and of held-out ones.
    pub(super) fn all(set: &EvaluationSet) -> [Vec<usize>; 2] {
        let mut places = [Vec::new(), Vec::new()];
        for seed in SEEDS {
            let draw = Self::draw(set, seed);
            let learned = usize::from(draw.learns_heldout);
            places[learned].extend([draw.forget, draw.retain].concat());
            places[1].extend([draw.judged, draw.others].concat());
        }
        for list in &mut places {
            list.sort_unstable();
            list.dedup();
        }
        places
    }
}
