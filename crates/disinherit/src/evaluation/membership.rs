//! Membership inference: can one tell that samples were trained on?

use serde::{Deserialize, Serialize};

use super::attack::{area, found_at, softmax};
use super::evaluation_set::{EvaluationSet, Observation};
use super::logistic::{Logistic, share};

/// Samples of each kind that the attack learns from, at most.
const LEARNT: usize = 1000;

/// Samples of each kind without which the likelihood ratio says nothing.
const FEWEST: usize = 20;

/// Membership inference on the forget data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Membership {
    /// The share of the forget data that an attack calls training data. The attack is a logistic
    /// model of confidence, entropy and loss (after Yeom et al., arXiv:1709.01604, and Salem et
    /// al., arXiv:1806.01246), learnt on the model's retained training samples and on held-out
    /// samples of the same labels.
    pub called_member: f64,
    /// The attack's balanced accuracy where it was learnt: at 0.5 it knows nothing, and
    /// `called_member` means nothing.
    pub attack_accuracy: f64,
    /// The likelihood-ratio test.
    pub likelihood_ratio: Option<LikelihoodRatio>,
}

/// A test on each sample without shadow models: the logit of the true label's probability, less
/// that of a model that never saw the sample (difficulty calibration, Watson et al.,
/// arXiv:2111.08440; the statistic is LiRA's, Carlini et al., arXiv:2112.03570). Forget data that
/// was trained on is compared with held-out samples of the same classes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LikelihoodRatio {
    /// The area under the curve; 0.5 is chance.
    pub area: f64,
    /// The share of forget samples found while one in a hundred others is taken for one.
    pub found_at_one_percent: f64,
}

/// Confidence, entropy and loss of every picked sample.
fn signals(logits: &fiun::Matrix, rows: &[Option<u32>], picked: &[usize]) -> Vec<Vec<f64>> {
    let of = |&at: &usize| {
        let p = softmax(logits.view().row(at));
        let top = p.iter().copied().fold(0.0, f64::max);
        let entropy: f64 = p.iter().filter(|p| **p > 0.0).map(|p| -p * p.ln()).sum();
        let own = rows[at].and_then(|row| p.get(row as usize)).copied();
        let loss = -own.unwrap_or(0.0).max(1e-12).ln();
        vec![top, entropy, loss]
    };
    picked.iter().map(of).collect()
}

/// The logit of the true label's probability.
fn confidence(logits: &fiun::Matrix, rows: &[Option<u32>], picked: &[usize]) -> Vec<f64> {
    let of = |&at: &usize| {
        let p = softmax(logits.view().row(at));
        let own = rows[at].and_then(|row| p.get(row as usize)).copied();
        let own = own.unwrap_or(0.0).clamp(1e-12, 1.0 - 1e-12);
        (own / (1.0 - own)).ln()
    };
    picked.iter().map(of).collect()
}

/// Every so-manieth, so that at most `limit` are left.
pub(super) fn thinned(picked: &[usize], limit: usize) -> Vec<usize> {
    let step = picked.len().div_ceil(limit.max(1)).max(1);
    picked.iter().copied().step_by(step).collect()
}

/// The attacks on one version of a model; `reference` is what the retrained model says.
pub(super) fn membership(
    set: &EvaluationSet,
    seen: &Observation,
    reference: Option<&Observation>,
) -> Option<Membership> {
    let own = &set.own;
    let heldout = &set.heldout;
    if own.forget.is_empty() {
        return None;
    }
    let members = thinned(&own.retain, LEARNT);
    let others = thinned(&heldout.retain, members.len());
    let members = thinned(&members, others.len());
    let mut rows = signals(&seen.own.logits, &own.rows, &members);
    rows.extend(signals(&seen.heldout.logits, &heldout.rows, &others));
    let mut yes = vec![1; members.len()];
    yes.extend(vec![0; others.len()]);
    let attack = Logistic::fit(&rows, &yes)?;
    let said = attack.predict(&rows)?;
    let right = said.iter().zip(&yes).filter(|(s, y)| **s == (**y == 1));
    let attack_accuracy = right.count() as f64 / yes.len() as f64;
    let forget = signals(&seen.own.logits, &own.rows, &own.forget);
    let called_member = share(&attack.predict(&forget)?)?;
    let likelihood_ratio = reference
        .filter(|_| own.forget.len().min(heldout.forget.len()) >= FEWEST)
        .and_then(|reference| {
            let difference = |a: Vec<f64>, b: Vec<f64>| -> Vec<f64> {
                a.into_iter().zip(b).map(|(a, b)| a - b).collect()
            };
            let trained = difference(
                confidence(&seen.own.logits, &own.rows, &own.forget),
                confidence(&reference.own.logits, &own.rows, &own.forget),
            );
            let not = difference(
                confidence(&seen.heldout.logits, &heldout.rows, &heldout.forget),
                confidence(&reference.heldout.logits, &heldout.rows, &heldout.forget),
            );
            Some(LikelihoodRatio {
                area: area(&trained, &not)?,
                found_at_one_percent: found_at(&trained, &not, 0.01)?,
            })
        });
    Some(Membership {
        called_member,
        attack_accuracy,
        likelihood_ratio,
    })
}
