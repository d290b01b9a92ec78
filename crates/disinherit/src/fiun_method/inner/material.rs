//! What an edit below the head is made from.

use std::collections::BTreeSet;

use disinherit_registry::Basis;
use fiun::Matrix;
use umig::ModelId;

use super::layer::Seen;
use crate::model::LoadedModel;
use crate::refusal::Refusal;

/// Retained samples that an edit is computed from, at most, and that its strength is chosen on.
pub(super) const RETAINED: [usize; 2] = [1500, 500];

/// Forget samples likewise, of so many classes; beyond four classes no more than of four.
pub(super) fn forget_counts(classes: usize) -> [usize; 2] {
    [400, 100].map(|count| count * classes.clamp(1, 4))
}

/// Forget samples of each class that steps over the last stage are taken on, at most, and that they are judged on.
const REFINED: [usize; 2] = [1200, 100];

/// Forget samples likewise, where the last stage may be trained on them.
pub(super) fn refined_counts(classes: usize) -> [usize; 2] {
    REFINED.map(|count| count * classes.clamp(1, 4))
}

/// Samples of one kind, in two parts: the first the edit is computed from, its strength is chosen on
/// the second.
pub(super) struct Part {
    pub(super) seen: Seen,
    /// The head row of each sample's label.
    pub(super) rows: Vec<u32>,
    /// How many belong to the first part.
    pub(super) fitted: usize,
}

impl Part {
    /// The part with fewer samples that the edit is computed from: the first ones.
    pub(super) fn with_fitted(&self, count: usize) -> (Self, Vec<usize>) {
        let [mut places, apart] = self.places();
        places.truncate(count);
        let fitted = places.len();
        places.extend(apart);
        let part = Self {
            seen: Seen {
                set: self.seen.set.select(&places),
                activations: self.seen.activations.select(&places),
            },
            rows: places.iter().map(|at| self.rows[*at]).collect(),
            fitted,
        };
        (part, places)
    }

    /// The places of the samples that the edit is computed from, and of those that it is chosen on.
    pub(super) fn places(&self) -> [Vec<usize>; 2] {
        [
            (0..self.fitted).collect(),
            (self.fitted..self.rows.len()).collect(),
        ]
    }
}

/// Everything that an edit below the head is made from.
pub(super) struct Material {
    pub(super) basis: Basis,
    pub(super) forget: Part,
    pub(super) retained: Part,
    /// The head rows of the forgotten labels.
    pub(super) gone: BTreeSet<u32>,
    /// For every forget sample the proportions in which it goes to the head rows, `[samples, rows]`.
    pub(super) shares: Matrix,
    /// The mean log-odds of each forgotten row on its own samples, as the reference has them.
    pub(super) log_odds: Option<Vec<(u32, f32)>>,
    /// The model that never knew the forget data.
    pub(super) reference: Option<ModelId>,
    /// All forget samples at hand as they are, for steps over the last stage; nothing where there are none, or the
    /// network runs elsewhere.
    pub(super) samples: Option<Samples>,
}

/// Forget samples, with their proportions as in [`Material::shares`].
pub(super) struct Samples {
    pub(super) part: Part,
    pub(super) shares: Matrix,
}

/// The head's rows of the forgotten labels.
pub(super) fn gone(model: &LoadedModel, classes: &BTreeSet<String>) -> BTreeSet<u32> {
    (0u32..)
        .zip(&model.manifest.labels)
        .filter(|(_, label)| classes.contains(*label))
        .map(|(row, _)| row)
        .collect()
}

/// The rows that an edit learns of retained samples.
pub(super) fn known(retained: &Part) -> Result<BTreeSet<u32>, Refusal> {
    let known: BTreeSet<u32> = retained.rows[..retained.fitted].iter().copied().collect();
    if known.len() < 2 {
        return Err("fewer than two labels are retained".into());
    }
    Ok(known)
}
