//! A membership attack that is fitted on what the model makes of samples that the attacker holds.

use fiun::Matrix;

use super::attack::{FEWEST, area};
use super::estimate::Estimate;
use super::evaluation_set::{EvaluationSet, Observation};
use super::logistic::Logistic;
use super::sampling::drawn;
use super::unseen::Unseen;

/// Samples of each kind that the attack works with, at most.
const MOST: usize = 400;

/// Decides which samples the attacker holds.
const SEED: u64 = 1;

/// The area under the curve of an attacker who holds half of the forget data that was trained on and
/// half of the held-out samples of its classes, fits a logistic model on features and logits, and is
/// tried on the other halves; then the other way round. `None` with fewer than 20 samples of either
/// kind, or where features are not at hand.
pub(super) fn fitted(set: &EvaluationSet, seen: &Observation) -> Option<Estimate> {
    let trained = drawn(&set.own.forget, MOST, SEED);
    let not = drawn(&Unseen::for_set(set).picked, MOST, SEED);
    if trained.len().min(not.len()) < FEWEST {
        return None;
    }
    let trained = rows(&seen.own.features, &seen.own.logits, &trained)?;
    let not = rows(&seen.heldout.features, &seen.heldout.logits, &not)?;
    let (trained, not) = (halves(&trained), halves(&not));
    let areas = [(0, 1), (1, 0)].map(|(learnt, tried)| {
        let known = [trained[learnt], not[learnt]].concat();
        let mut yes = vec![1; trained[learnt].len()];
        yes.extend(vec![0; not[learnt].len()]);
        let attack = Logistic::fit(&known, &yes)?;
        area(&attack.scores(trained[tried]), &attack.scores(not[tried]))
    });
    let areas: Vec<f64> = areas.into_iter().collect::<Option<_>>()?;
    Estimate::new(&areas)
}

/// Features and logits of every picked sample.
fn rows(features: &Matrix, logits: &Matrix, picked: &[usize]) -> Option<Vec<Vec<f64>>> {
    if features.rows() != logits.rows() {
        return None;
    }
    let row = |&at: &usize| {
        let values = features.view().row(at).iter().chain(logits.view().row(at));
        values.map(|value| f64::from(*value)).collect()
    };
    Some(picked.iter().map(row).collect())
}

fn halves(rows: &[Vec<f64>]) -> [&[Vec<f64>]; 2] {
    let (first, second) = rows.split_at(rows.len() / 2);
    [first, second]
}
