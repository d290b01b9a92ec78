//! Random labels on the forget data.

use std::collections::BTreeMap;

use disinherit::EngineError;
use disinherit_nets::{StateDict, Term};
use rand::SeedableRng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::describe::{Description, How};
use super::kind::MethodKind;
use super::tuning::Tuning;

/// What it is, and where it comes from.
pub(super) const DESCRIPTION: Description = Description {
    kind: MethodKind::RandomLabels,
    name: "random-labels",
    purpose: "train on the forget data under random other labels, beside the retained data",
    source: "Graves et al., arXiv:2010.10981",
    classes_only: false,
    how: How::Trained(edit),
};

/// Trains on the forget data under wrong labels, beside the retained data.
fn edit(tuning: &Tuning<'_>) -> Result<StateDict, EngineError> {
    randomised(tuning, &BTreeMap::new())
}

/// A wrong label for every forget sample: none that is forgotten itself.
fn wrong_rows(tuning: &Tuning<'_>) -> Vec<u32> {
    let sets = tuning.sets;
    let all: Vec<u32> = (0..sets.model.architecture.classes as u32).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(tuning.settings.seed);
    let wrong = |own: &u32| {
        let others: Vec<u32> = all
            .iter()
            .copied()
            .filter(|row| row != own && !sets.forgotten.contains(row))
            .collect();
        others.choose(&mut rng).copied().unwrap_or(*own)
    };
    sets.forget_rows.iter().map(wrong).collect()
}

/// Random labels on the forget data; `masks` holds parameters still.
pub(super) fn randomised(
    tuning: &Tuning<'_>,
    masks: &BTreeMap<String, Vec<f32>>,
) -> Result<StateDict, EngineError> {
    let sets = tuning.sets;
    sets.need_forget(tuning.method)?;
    let wrong = wrong_rows(tuning);
    let mut phase = tuning.retained(1.0, tuning.settings.epochs);
    let weight = tuning.settings.forget_weight;
    phase.terms.push(Term::labels(&sets.forget, &wrong, weight));
    let config = tuning.settings.training();
    tuning.train_from(&sets.state, &config, &[phase], masks)
}
