//! The selection threshold, chosen for the user.

use serde::{Deserialize, Serialize};

use crate::error::expect_len;
use crate::{Dampening, FisherError, LayerFisher, Matrix, MatrixRef, argmax, dampen, linear};

/// The threshold to start from when there is no data to try values on, for FIMs on a common scale
/// ([`LayerFisher::rescaled`]): the middle of the range of 4 to 5 that served all models of a
/// federated network on CIFAR-10 at once.
pub const DATA_FREE_ALPHA: f64 = 4.5;

/// The share of forget samples that a threshold is judged by.
const TAIL: f64 = 0.95;

/// Thresholds tried in the first, coarse round, and in each of the finer ones.
const COARSE: usize = 40;
const FINE: usize = 12;
const FINE_ROUNDS: usize = 2;

/// What the choice of alpha aims at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The accuracy on the forget samples must be at most this.
    pub forget: f64,
    /// The accuracy on the retained samples may fall by at most this.
    pub retain_loss: f64,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            forget: 0.0,
            retain_loss: 0.01,
        }
    }
}

/// The dampening constants that are tried when none is given: from the usual 1 down to 0, which
/// clears what is selected.
pub const LAMBDAS: [f64; 4] = [1.0, 0.3, 0.1, 0.0];

/// One tried pair of threshold and dampening constant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// The threshold.
    pub alpha: f64,
    /// The dampening constant.
    pub lambda: f64,
    /// The accuracy on the forget samples, 0 to 1.
    pub forget: f64,
    /// The accuracy on the retained samples, 0 to 1.
    pub retain: f64,
    /// The probability that a forget sample's own label still gets: the 95th percentile over the
    /// forget samples, since it is the most stubborn ones that a model goes on recognising.
    pub forget_probability: f64,
    /// Parameters selected.
    pub selected: u64,
}

/// The chosen threshold and what it was chosen from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlphaChoice {
    /// The threshold.
    pub alpha: f64,
    /// The dampening constant.
    pub lambda: f64,
    /// Whether they meet the target.
    pub reached: bool,
    /// Accuracy on forget and retained samples before any edit.
    pub before: (f64, f64),
    /// Every threshold tried with this dampening constant, by alpha.
    pub curve: Vec<Trial>,
}

/// A linear head, the FIMs that decide its edit, and the cached samples to try thresholds on.
#[derive(Debug, Clone, Copy)]
pub struct HeadProblem<'a> {
    /// The head's weight, `[outputs, inputs]`.
    pub weight: MatrixRef<'a>,
    /// The head's bias, `[outputs]`.
    pub bias: &'a [f32],
    /// The merged FIM of the forget data, rows matched to this head.
    pub forget: &'a LayerFisher,
    /// The model's own FIM.
    pub own: &'a LayerFisher,
    /// Cached features, `[samples, inputs]`.
    pub features: MatrixRef<'a>,
    /// The head row of each sample's label.
    pub labels: &'a [u32],
    /// Whether each sample is to be forgotten.
    pub is_forget: &'a [bool],
    /// The dampening constants to try, at least one.
    pub lambdas: &'a [f64],
}

/// Chooses the threshold of one model by trying values on its cached features: each try costs a
/// matrix product and no forward pass. First a logarithmic grid over the ratios that occur, then
/// finer ones around the best value, since the edge between untouched and forgotten is sharp. Of
/// several dampening constants the best is kept.
///
/// Among the thresholds that meet `target`, the one with the best retained accuracy less the
/// probability that the forgotten labels keep is taken: the accuracies alone are steps, and a
/// threshold at the very edge of a step does not carry over to unseen samples. When none meets the
/// target, the one that misses it least is returned with `reached` false.
///
/// # Errors
/// [`FisherError`] when shapes do not fit, a value is not finite, or there are no forget or no
/// retained samples.
pub fn search_alpha(problem: HeadProblem<'_>, target: Target) -> Result<AlphaChoice, FisherError> {
    check(&problem)?;
    let before = problem.score(problem.weight, problem.bias)?;
    // A coarse round for each dampening constant, the finer ones for the best of them only.
    let mut best: Option<(Trial, Vec<Trial>)> = None;
    for &lambda in problem.lambdas {
        let (low, high) = problem.range(lambda);
        let curve = problem.try_all(&grid(low, high, COARSE), lambda)?;
        let trial = curve[best_index(&curve, before.retain, target)];
        let rank = |trial: &Trial| rank(trial, before.retain, target);
        if best
            .as_ref()
            .is_none_or(|(known, _)| rank(&trial) < rank(known))
        {
            best = Some((trial, curve));
        }
    }
    let Some((Trial { lambda, .. }, mut curve)) = best else {
        return Err(FisherError::NoSamples(
            "of dampening constants to try".into(),
        ));
    };
    for _ in 0..FINE_ROUNDS {
        let best = best_index(&curve, before.retain, target);
        let left = curve[best.saturating_sub(1)].alpha;
        let right = curve[(best + 1).min(curve.len() - 1)].alpha;
        curve.extend(problem.try_all(&grid(left, right, FINE), lambda)?);
        curve.sort_by(|a, b| a.alpha.total_cmp(&b.alpha));
        curve.dedup_by(|a, b| a.alpha == b.alpha);
    }
    let best = curve[best_index(&curve, before.retain, target)];
    Ok(AlphaChoice {
        alpha: best.alpha,
        lambda,
        reached: shortfall(&best, before.retain, target) <= 0.0,
        before: (before.forget, before.retain),
        curve,
    })
}

fn check(problem: &HeadProblem<'_>) -> Result<(), FisherError> {
    let samples = problem.features.rows();
    expect_len("the label list", problem.labels.len(), samples)?;
    expect_len("the forget mask", problem.is_forget.len(), samples)?;
    if let Some(sample) = problem
        .labels
        .iter()
        .position(|&label| label as usize >= problem.weight.rows())
    {
        return Err(FisherError::Label {
            sample,
            label: problem.labels[sample],
            classes: problem.weight.rows(),
        });
    }
    let forget = problem.is_forget.iter().filter(|flag| **flag).count();
    if forget == 0 {
        return Err(FisherError::NoSamples("to forget".into()));
    }
    if forget == samples {
        return Err(FisherError::NoSamples("to retain".into()));
    }
    Ok(())
}

impl HeadProblem<'_> {
    /// The thresholds worth trying: from lambda (at most 1), below which what is selected besides
    /// keeps a factor of 1, to just above the largest finite ratio, from which on nothing is
    /// selected.
    fn range(&self, lambda: f64) -> (f64, f64) {
        let forget = self.forget.weight.values().iter().chain(&self.forget.bias);
        let own = self.own.weight.values().iter().chain(&self.own.bias);
        let largest = forget
            .zip(own)
            .filter(|(_, own)| **own > 0.0)
            .map(|(f, o)| f64::from(*f) / f64::from(*o))
            .fold(1.0, f64::max);
        (lambda.clamp(0.25, 1.0), largest.min(1e12) * 1.01)
    }

    fn try_all(&self, alphas: &[f64], lambda: f64) -> Result<Vec<Trial>, FisherError> {
        alphas
            .iter()
            .map(|&alpha| self.trial(alpha, lambda))
            .collect()
    }

    fn trial(&self, alpha: f64, lambda: f64) -> Result<Trial, FisherError> {
        let dampening = Dampening::new(alpha, lambda)?;
        let mut weight = Matrix::new(
            self.weight.rows(),
            self.weight.cols(),
            self.weight.values().to_vec(),
        )?;
        let mut bias = self.bias.to_vec();
        let of_weight = dampen(
            weight.values_mut(),
            self.forget.weight.values(),
            self.own.weight.values(),
            dampening,
        )?;
        let of_bias = dampen(&mut bias, &self.forget.bias, &self.own.bias, dampening)?;
        let score = self.score(weight.view(), &bias)?;
        Ok(Trial {
            alpha,
            lambda,
            selected: of_weight.plus(of_bias).selected,
            ..score
        })
    }

    fn score(&self, weight: MatrixRef<'_>, bias: &[f32]) -> Result<Trial, FisherError> {
        let logits = linear(self.features, weight, bias)?;
        let (mut right, mut count) = ([0usize; 2], [0usize; 2]);
        let mut probabilities = Vec::new();
        for (sample, &label) in self.labels.iter().enumerate() {
            let row = logits.view().row(sample);
            let group = usize::from(self.is_forget[sample]);
            count[group] += 1;
            let own = row[label as usize];
            right[group] += usize::from(argmax(row) == label as usize);
            if group == 1 {
                let sum: f64 = row.iter().map(|z| f64::from(z - own).exp()).sum();
                probabilities.push(1.0 / sum);
            }
        }
        Ok(Trial {
            alpha: 0.0,
            lambda: 1.0,
            forget: right[1] as f64 / count[1] as f64,
            retain: right[0] as f64 / count[0] as f64,
            forget_probability: quantile(&mut probabilities, TAIL),
            selected: 0,
        })
    }
}

/// The smallest value that at least this share of the values do not exceed; 0 without values.
fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = (values.len() as f64 * share).ceil() as usize;
    values.get(place.saturating_sub(1)).copied().unwrap_or(0.0)
}

fn grid(low: f64, high: f64, points: usize) -> Vec<f64> {
    let step = (high / low).ln() / (points - 1) as f64;
    (0..points).map(|i| low * (step * i as f64).exp()).collect()
}

/// By how much a trial misses the target, both misses added; at most 0 when it meets it.
fn shortfall(trial: &Trial, retain_before: f64, target: Target) -> f64 {
    let forget = (trial.forget - target.forget).max(0.0);
    let retain = (retain_before - target.retain_loss - trial.retain).max(0.0);
    forget + retain
}

/// Lower is better: first the target, then the probability left on the forgotten labels against
/// the retained accuracy.
fn rank(trial: &Trial, retain_before: f64, target: Target) -> (f64, f64) {
    let missed = shortfall(trial, retain_before, target);
    (missed, trial.forget_probability - trial.retain)
}

fn best_index(curve: &[Trial], retain_before: f64, target: Target) -> usize {
    let order = |a: &usize, b: &usize| {
        let a = rank(&curve[*a], retain_before, target);
        let b = rank(&curve[*b], retain_before, target);
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    };
    (0..curve.len()).min_by(order).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Estimator, head_fisher, residuals};

    /// Three classes on the axes.
    fn clouds() -> (Matrix, Vec<u32>) {
        let mut values = Vec::new();
        let mut labels = Vec::new();
        for n in 0..300u32 {
            let label = n % 3;
            for axis in 0..3 {
                let noise = ((n * 37 + axis * 11) % 17) as f32 / 17.0;
                let base = match (label, axis) {
                    (l, a) if l == a => 2.0,
                    // The class to be forgotten has a rival, as classes have in practice.
                    (1, 2) => 1.5,
                    _ => 0.0,
                };
                values.push(base + 0.4 * noise);
            }
            labels.push(label);
        }
        (Matrix::new(300, 3, values).unwrap(), labels)
    }

    #[test]
    fn finds_a_threshold_that_forgets_one_class_only() {
        let (features, labels) = clouds();
        let weight = Matrix::new(3, 3, vec![2., -1., -1., -1., 2., -1., -1., -1., 2.]).unwrap();
        let bias = [0.1, 0.1, 0.1];
        let logits = linear(features.view(), weight.view(), &bias).unwrap();
        let residuals = residuals(logits.view(), &labels).unwrap();
        let fisher = head_fisher(
            features.view(),
            residuals.view(),
            &labels,
            3,
            Estimator::Empirical,
        )
        .unwrap();
        let forget = fisher.of_classes(&[1]).unwrap();
        let is_forget: Vec<bool> = labels.iter().map(|l| *l == 1).collect();
        let problem = HeadProblem {
            weight: weight.view(),
            bias: &bias,
            forget: &forget,
            own: &fisher.total,
            features: features.view(),
            labels: &labels,
            is_forget: &is_forget,
            lambdas: &LAMBDAS,
        };
        let choice = search_alpha(problem, Target::default()).unwrap();
        assert_eq!(choice.before, (1.0, 1.0));
        assert!(
            choice
                .curve
                .windows(2)
                .all(|pair| pair[0].alpha < pair[1].alpha)
        );
        let meets = |t: &Trial| t.forget <= 0.0 && t.retain >= 0.99;
        let chosen = choice
            .curve
            .iter()
            .find(|t| t.alpha == choice.alpha)
            .unwrap();
        assert_eq!(choice.reached, meets(chosen));
        assert_eq!(
            choice.reached,
            choice.curve.iter().any(meets),
            "a met target is not missed"
        );
        let lenient = Target {
            forget: 1.0,
            retain_loss: 0.0,
        };
        let gentle = search_alpha(problem, lenient).unwrap();
        assert!(gentle.reached);

        let all = vec![true; labels.len()];
        let refused = search_alpha(
            HeadProblem {
                is_forget: &all,
                ..problem
            },
            Target::default(),
        );
        assert_eq!(
            refused.unwrap_err(),
            FisherError::NoSamples("to retain".into())
        );
        let none = vec![false; labels.len()];
        let refused = search_alpha(
            HeadProblem {
                is_forget: &none,
                ..problem
            },
            Target::default(),
        );
        assert_eq!(
            refused.unwrap_err(),
            FisherError::NoSamples("to forget".into())
        );
    }
}
