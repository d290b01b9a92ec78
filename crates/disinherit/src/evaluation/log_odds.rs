//! How certain a model is of single samples: what models of other training seeds are compared by.

use fiun::Matrix;
use serde::{Deserialize, Serialize};

use super::evaluation_set::{EvalSplit, EvaluationSet, Observation};
use super::membership::confidence;
use super::sampling::thinned;

/// Samples of each kind, at most.
const MOST: usize = 1000;

/// Log-odds beyond this are taken for it, to both sides, as the margins of arXiv:2410.23232 are: a masked
/// output is far below.
const END: f64 = 100.0;

/// The log-odds of the true label, in nats, sample by sample: the logit less the logarithm of the summed
/// exponentials of the others, which is what U-LiRA calls a logit-scaled confidence and KLOM a margin.
/// Models of one network that were trained with other seeds have the same samples in the same order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LogOdds {
    /// Of forget samples that the model was trained on, or held-out ones where there are none.
    pub forget: Vec<f32>,
    /// Of its own retained training samples.
    pub retain: Vec<f32>,
    /// Of held-out samples of what is retained.
    pub heldout: Vec<f32>,
}

impl EvaluationSet {
    /// The log-odds of at most 1,000 samples of each kind; nothing where the model has no output for the
    /// label of one of them, or an output is no number.
    pub fn log_odds(&self, seen: &Observation) -> Option<LogOdds> {
        let (own, heldout) = (&self.own, &self.heldout);
        let judged = (self.judged(), self.judged_logits(seen));
        Some(LogOdds {
            forget: odds_in(judged.0, judged.1, &judged.0.forget)?,
            retain: odds_in(own, &seen.own.logits, &own.retain)?,
            heldout: odds_in(heldout, &seen.heldout.logits, &heldout.retain)?,
        })
    }
}

fn odds_in(split: &EvalSplit, logits: &Matrix, picked: &[usize]) -> Option<Vec<f32>> {
    let values = confidence(logits, &split.rows, &thinned(picked, MOST))?;
    let clipped = values.into_iter().map(|value| value.clamp(-END, END));
    clipped
        .map(|value| (!value.is_nan()).then_some(value as f32))
        .collect()
}
