//! Membership inference: can one tell that samples were trained on?

use fiun::log_odds;
use serde::{Deserialize, Serialize};

use super::area::weighted_area;
use super::attack::{FEWEST, area, found_at, softmax};
use super::estimate::Estimate;
use super::evaluation_set::{EvalSplit, EvaluationSet, Observation};
use super::fitted::fitted;
use super::logistic::{Logistic, share};
use super::sampling::thinned;
use super::unseen::Unseen;

/// Samples of each kind that the attack learns from, at most.
const LEARNT: usize = 1000;

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
    /// The area under the curve that tells forget samples that were trained on from held-out samples
    /// of the same classes by confidence alone, the log-odds of the true label (Yeom et al.,
    /// arXiv:1709.01604); 0.5 is chance, and below it is as telling as above. Nothing with fewer than
    /// 20 samples of either, or where single samples are forgotten, fewer than 5 of those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area: Option<f64>,
    /// The same by an attacker who holds half of the forget data and held-out samples of its classes:
    /// a logistic model of features and logits, learnt on one half and tried on the other, both ways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fitted: Option<Estimate>,
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

/// The log-odds of the true label of every picked sample; nothing where one has no output for it.
pub(super) fn confidence(
    logits: &fiun::Matrix,
    rows: &[Option<u32>],
    picked: &[usize],
) -> Option<Vec<f64>> {
    let of = |&at: &usize| log_odds(logits.view().row(at), rows[at]? as usize);
    picked.iter().map(of).collect()
}

/// The area under the curve of confidence.
fn area_of_confidence(set: &EvaluationSet, seen: &Observation) -> Option<f64> {
    let unseen = Unseen::for_set(set);
    let trained = confidence(&seen.own.logits, &set.own.rows, &set.own.forget)?;
    let not = confidence(&seen.heldout.logits, &set.heldout.rows, &unseen.picked)?;
    if trained.len() < unseen.fewest || not.len() < FEWEST {
        return None;
    }
    weighted_area(&trained, &not, &unseen.weights).map(|area| area.value)
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
    Some(Membership {
        called_member,
        attack_accuracy,
        likelihood_ratio: reference.and_then(|other| likelihood_ratio(set, seen, other)),
        area: area_of_confidence(set, seen),
        fitted: fitted(set, seen),
    })
}

/// The likelihood-ratio test; nothing with too few samples.
fn likelihood_ratio(
    set: &EvaluationSet,
    seen: &Observation,
    reference: &Observation,
) -> Option<LikelihoodRatio> {
    let unseen = Unseen::for_set(set).picked;
    if set.own.forget.len().min(unseen.len()) < FEWEST {
        return None;
    }
    let differences = |split: &EvalSplit, picked, ours, theirs| -> Option<Vec<f64>> {
        let ours = confidence(ours, &split.rows, picked)?;
        let theirs = confidence(theirs, &split.rows, picked)?;
        Some(ours.iter().zip(&theirs).map(|(a, b)| a - b).collect())
    };
    let (own, heldout) = (&set.own, &set.heldout);
    let trained = differences(own, &own.forget, &seen.own.logits, &reference.own.logits)?;
    let not = differences(
        heldout,
        &unseen,
        &seen.heldout.logits,
        &reference.heldout.logits,
    )?;
    Some(LikelihoodRatio {
        area: area(&trained, &not)?,
        found_at_one_percent: found_at(&trained, &not, 0.01)?,
    })
}
