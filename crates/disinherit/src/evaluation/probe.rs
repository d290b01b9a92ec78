//! The linear probe: do the features still tell the forgotten classes apart?

use fiun::Matrix;
use serde::{Deserialize, Serialize};

use super::estimate::Estimate;
use super::evaluation_set::{EvaluationSet, Observation};
use super::inner_layer::InnerLayer;
use super::logistic::{Logistic, share};
use super::probe_samples::{ProbeSamples, SEEDS};

/// Balanced accuracies of linear probes that tell held-out samples of the forgotten classes from
/// others, each with three draws of samples; 0.5 is chance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probes {
    /// On the penultimate layer, the head's input.
    pub penultimate: Estimate,
    /// On what the penultimate layer reads, where the network is run below its head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inner: Option<InnerProbe>,
}

/// A probe on an inner layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InnerProbe {
    /// The weight that reads what the probe sees.
    pub layer: String,
    /// What the probe reaches.
    pub accuracy: Estimate,
}

/// The probes on what a version of a model makes of its evaluation set.
pub(super) fn probes(
    set: &EvaluationSet,
    seen: &Observation,
    inner: Option<&InnerLayer>,
) -> Option<Probes> {
    Some(Probes {
        penultimate: probe(set, &seen.own.features, &seen.heldout.features)?,
        inner: inner.and_then(|inner| {
            Some(InnerProbe {
                accuracy: probe(set, &inner.own, &inner.heldout)?,
                layer: inner.layer.clone(),
            })
        }),
    })
}

/// The probe on one layer: what it makes of the model's own samples and of held-out ones, a row each.
fn probe(set: &EvaluationSet, own: &Matrix, heldout: &Matrix) -> Option<Estimate> {
    let found = SEEDS.map(|seed| with_seed(set, own, heldout, seed));
    let found: Vec<f64> = found.into_iter().collect::<Option<_>>()?;
    Estimate::new(&found)
}

/// The probe's balanced accuracy on held-out samples, of one draw.
fn with_seed(set: &EvaluationSet, own: &Matrix, heldout: &Matrix, seed: u64) -> Option<f64> {
    let draw = ProbeSamples::draw(set, seed);
    let learn = if draw.learns_heldout { heldout } else { own };
    let mut known = rows(learn, &draw.forget);
    known.extend(rows(learn, &draw.retain));
    let mut yes = vec![1; draw.forget.len()];
    yes.extend(vec![0; draw.retain.len()]);
    let probe = Logistic::fit(&known, &yes)?;
    let said = |picked: &[usize]| share(&probe.predict(&rows(heldout, picked))?);
    let (right, wrong) = (said(&draw.judged)?, said(&draw.others)?);
    Some((right + 1.0 - wrong) / 2.0)
}

fn rows(features: &Matrix, picked: &[usize]) -> Vec<Vec<f64>> {
    let row = |&at: &usize| {
        let values = features.view().row(at).iter();
        values.map(|v| f64::from(*v)).collect()
    };
    picked.iter().map(row).collect()
}
