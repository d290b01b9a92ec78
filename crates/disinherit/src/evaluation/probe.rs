//! The linear probe: do the features still tell the forgotten classes apart?

use fiun::Matrix;

use super::evaluation_set::{EvaluationSet, Observation};
use super::logistic::{Logistic, share};
use super::membership::thinned;

/// Samples of each kind that the probe learns from, and is judged on.
const SAMPLES: usize = 200;

fn rows(features: &Matrix, picked: &[usize]) -> Vec<Vec<f64>> {
    let row = |&at: &usize| {
        let values = features.view().row(at).iter();
        values.map(|v| f64::from(*v)).collect()
    };
    picked.iter().map(row).collect()
}

/// The probe's balanced accuracy on held-out samples. Where the model has no forget data of its
/// own, it learns from every second held-out sample and is judged on the others.
pub(super) fn probe(set: &EvaluationSet, seen: &Observation) -> Option<f64> {
    let heldout = &set.heldout;
    let every_second =
        |list: &[usize], first: usize| list.iter().copied().skip(first).step_by(2).collect();
    let own_forget = !set.own.forget.is_empty();
    let (learn, forget, retain, judged, others): (
        _,
        Vec<usize>,
        Vec<usize>,
        Vec<usize>,
        Vec<usize>,
    ) = if own_forget {
        (
            &seen.own.features,
            set.own.forget.clone(),
            set.own.retain.clone(),
            heldout.forget.clone(),
            heldout.retain.clone(),
        )
    } else {
        (
            &seen.heldout.features,
            every_second(&heldout.forget, 0),
            every_second(&heldout.retain, 0),
            every_second(&heldout.forget, 1),
            every_second(&heldout.retain, 1),
        )
    };
    let forget = thinned(&forget, SAMPLES);
    let retain = thinned(&retain, forget.len());
    let mut known = rows(learn, &forget);
    known.extend(rows(learn, &retain));
    let mut yes = vec![1; forget.len()];
    yes.extend(vec![0; retain.len()]);
    let probe = Logistic::fit(&known, &yes)?;
    let features = &seen.heldout.features;
    let right = share(&probe.predict(&rows(features, &thinned(&judged, SAMPLES)))?)?;
    let wrong = share(&probe.predict(&rows(features, &thinned(&others, SAMPLES)))?)?;
    Some((right + 1.0 - wrong) / 2.0)
}
