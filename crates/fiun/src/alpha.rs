//! The selection threshold, chosen for the user.

use serde::{Deserialize, Serialize};

use crate::dampen::{Dampening, dampen};
use crate::error::FisherError;
use crate::error::expect_len;
use crate::head::LayerFisher;
use crate::lowering::{Lowering, Lowers};
use crate::matrix::{Matrix, MatrixRef, argmax};
use crate::product::linear;
use crate::tensor::FisherTensor;

/// The threshold to start from when there is no data to try values on, for FIMs on a common scale
/// (each divided by the mean of its own model's total FIM): the middle of the range of 4 to 5 that served all models of a
/// federated network on CIFAR-10 at once.
pub const DATA_FREE_ALPHA: f64 = 4.5;

/// The share of forget samples that a threshold is judged by.
const TAIL: f64 = 0.95;

/// How many thresholds a search tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// In the first round, for each dampening constant.
    pub coarse: usize,
    /// In each of the finer rounds around the best.
    pub fine: usize,
    /// The number of finer rounds.
    pub rounds: usize,
}

impl Effort {
    /// For tries that cost a matrix product.
    pub const THOROUGH: Self = Self {
        coarse: 40,
        fine: 12,
        rounds: 2,
    };
    /// For tries that cost a forward pass.
    pub const SPARING: Self = Self {
        coarse: 8,
        fine: 4,
        rounds: 2,
    };
}

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
    /// Whether they meet the target, together with the lowering if there is one.
    pub reached: bool,
    /// By how much the forgotten labels were lowered besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lowering: Option<Lowering>,
    /// Accuracy on forget and retained samples before any edit.
    pub before: (f64, f64),
    /// Every threshold tried with this dampening constant, by alpha.
    pub curve: Vec<Trial>,
}

impl AlphaChoice {
    /// Takes what dampening left of the forgotten labels by lowering them. `logits` are those after
    /// dampening.
    ///
    /// # Errors
    /// As [`score_trial`].
    pub fn lower(
        &mut self,
        mut logits: Matrix,
        labels: &[u32],
        is_forget: &[bool],
        lowers: &Lowers,
        target: Target,
    ) -> Result<(), FisherError> {
        let dampened = score_trial(logits.view(), labels, is_forget)?;
        let Some(lowering) = Lowering::needed(logits.view(), is_forget, lowers, dampened.forget)?
        else {
            return Ok(());
        };
        let cols = logits.cols().max(1);
        for row in logits.values_mut().chunks_exact_mut(cols) {
            lowering.apply(row, cols);
        }
        let lowered = score_trial(logits.view(), labels, is_forget)?;
        self.reached = shortfall(&lowered, self.before.1, target) <= 0.0;
        self.lowering = Some(lowering);
        Ok(())
    }
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
    /// What may be lowered when dampening does not do.
    pub lowers: &'a Lowers,
}

/// Chooses the threshold of one model by trying values on its cached features: each try costs a
/// matrix product and no forward pass. First a logarithmic grid over the ratios that occur, then
/// finer ones around the best value, since the edge between untouched and forgotten is sharp. Of
/// several dampening constants the best is kept.
///
/// Among the thresholds that meet `target`, the one with the best retained accuracy less the
/// probability that the forgotten labels keep is taken: the accuracies alone are steps, and a
/// threshold at the very edge of a step does not carry over to unseen samples. When none meets the
/// target, the one that misses it least is returned with `reached` false; or, where labels may be
/// lowered, the one that forgets most of those that keep the retained samples, and the rest is taken
/// by [`Lowering`].
///
/// # Errors
/// [`FisherError`] when shapes do not fit, a value is not finite, or there are no forget or no
/// retained samples.
pub fn search_alpha(problem: HeadProblem<'_>, target: Target) -> Result<AlphaChoice, FisherError> {
    check(&problem)?;
    let before = problem.score(problem.weight, problem.bias)?;
    let search = Search {
        lambdas: problem.lambdas,
        largest_ratio: problem.largest_ratio(),
        effort: Effort::THOROUGH,
        before: (before.forget, before.retain),
        target,
        retain_first: !problem.lowers.is_empty(),
    };
    let mut scratch = (
        Matrix::zeros(problem.weight.rows(), problem.weight.cols()),
        vec![0.0; problem.bias.len()],
    );
    let choice = search.run(&mut |alpha, lambda| problem.trial(alpha, lambda, &mut scratch))?;
    let mut choice =
        choice.ok_or_else(|| FisherError::NoSamples("of dampening constants to try".into()))?;
    if !choice.reached && !problem.lowers.is_empty() {
        problem.trial(choice.alpha, choice.lambda, &mut scratch)?;
        let logits = linear(problem.features, scratch.0.view(), &scratch.1)?;
        choice.lower(
            logits,
            problem.labels,
            problem.is_forget,
            problem.lowers,
            target,
        )?;
    }
    Ok(choice)
}

/// The search itself, whatever a try is.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// The dampening constants to try.
    pub lambdas: &'a [f64],
    /// The largest finite ratio of a forget value to an own value: from there on nothing is
    /// selected.
    pub largest_ratio: f64,
    /// How many thresholds to try.
    pub effort: Effort,
    /// Accuracy on forget and retained samples before any edit.
    pub before: (f64, f64),
    /// What to aim at.
    pub target: Target,
    /// When no threshold meets the target: whether to return the one that forgets most of those that
    /// keep the retained samples, instead of the one that misses least.
    pub retain_first: bool,
}

impl Search<'_> {
    /// Runs it; `trial` is given a threshold and a dampening constant. `None` when there is no
    /// dampening constant to try.
    ///
    /// # Errors
    /// What `trial` says.
    pub fn run<E>(
        &self,
        trial: &mut dyn FnMut(f64, f64) -> Result<Trial, E>,
    ) -> Result<Option<AlphaChoice>, E> {
        let (target, retain_before) = (self.target, self.before.1);
        let mut try_all = |alphas: Vec<f64>, lambda| -> Result<Vec<Trial>, E> {
            alphas
                .into_iter()
                .map(|alpha| trial(alpha, lambda))
                .collect()
        };
        // A coarse round for each dampening constant, the finer ones for the best of them only.
        let mut best: Option<(Trial, Vec<Trial>)> = None;
        let mut others = Vec::new();
        for &lambda in self.lambdas {
            // Below lambda, what is selected besides keeps a factor of 1.
            let high = self.largest_ratio.clamp(1.0, 1e12) * 1.01;
            let curve = try_all(
                grid(lambda.clamp(0.25, 1.0), high, self.effort.coarse),
                lambda,
            )?;
            let Some(trial) = curve
                .get(best_index(&curve, retain_before, target))
                .copied()
            else {
                continue;
            };
            let rank = |trial: &Trial| rank(trial, retain_before, target);
            if best
                .as_ref()
                .is_none_or(|(known, _)| rank(&trial) < rank(known))
            {
                others.extend(best.replace((trial, curve)));
            } else {
                others.push((trial, curve));
            }
        }
        let Some((Trial { lambda, .. }, mut curve)) = best else {
            return Ok(None);
        };
        for _ in 0..self.effort.rounds {
            let best = best_index(&curve, retain_before, target);
            let left = curve[best.saturating_sub(1)].alpha;
            let right = curve[(best + 1).min(curve.len() - 1)].alpha;
            curve.extend(try_all(grid(left, right, self.effort.fine), lambda)?);
            curve.sort_by(|a, b| a.alpha.total_cmp(&b.alpha));
            curve.dedup_by(|a, b| a.alpha == b.alpha);
        }
        let mut best = curve[best_index(&curve, retain_before, target)];
        let reached = shortfall(&best, retain_before, target) <= 0.0;
        if self.retain_first && !reached {
            let curves = others.iter().map(|(_, curve)| curve).chain([&curve]);
            let bearable = curves
                .enumerate()
                .flat_map(|(n, curve)| curve.iter().map(move |trial| (n, *trial)))
                .min_by(|(_, a), (_, b)| self.harm(a).total_cmp(&self.harm(b)));
            if let Some((n, trial)) = bearable {
                best = trial;
                if n < others.len() {
                    curve = others.swap_remove(n).1;
                }
            }
        }
        Ok(Some(AlphaChoice {
            alpha: best.alpha,
            lambda: best.lambda,
            reached,
            lowering: None,
            before: self.before,
            curve,
        }))
    }
}

impl Search<'_> {
    /// What a trial does to the retained samples beyond what is allowed, before what it leaves of
    /// the forget samples: the first weighs more than all of the second.
    fn harm(&self, trial: &Trial) -> f64 {
        let lost = self.before.1 - self.target.retain_loss - trial.retain;
        1e3 * lost.max(0.0) + trial.forget + trial.forget_probability
    }
}

/// Tells how well logits name the labels of forget and retained samples: a [`Trial`] without its
/// threshold.
///
/// # Errors
/// [`FisherError::Shape`] when there is not a label and a mark for each row of `logits`.
pub fn score_trial(
    logits: MatrixRef<'_>,
    labels: &[u32],
    is_forget: &[bool],
) -> Result<Trial, FisherError> {
    expect_len("the label list", labels.len(), logits.rows())?;
    expect_len("the forget mask", is_forget.len(), logits.rows())?;
    let (mut right, mut count) = ([0usize; 2], [0usize; 2]);
    let mut probabilities = Vec::new();
    for (sample, &label) in labels.iter().enumerate() {
        let row = logits.row(sample);
        let Some(own) = row.get(label as usize) else {
            return Err(FisherError::Label {
                sample,
                label,
                classes: row.len(),
            });
        };
        let group = usize::from(is_forget[sample]);
        count[group] += 1;
        right[group] += usize::from(argmax(row) == label as usize);
        if group == 1 {
            let sum: f64 = row.iter().map(|z| f64::from(z - own).exp()).sum();
            probabilities.push(1.0 / sum);
        }
    }
    let share = |group: usize| right[group] as f64 / count[group].max(1) as f64;
    Ok(Trial {
        alpha: 0.0,
        lambda: 1.0,
        forget: share(1),
        retain: share(0),
        forget_probability: quantile(&mut probabilities, TAIL),
        selected: 0,
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
    fn largest_ratio(&self) -> f64 {
        largest_ratio(&self.forget.weight, &self.own.weight)
            .max(largest_ratio(&self.forget.bias, &self.own.bias))
    }

    fn trial(
        &self,
        alpha: f64,
        lambda: f64,
        (weight, bias): &mut (Matrix, Vec<f32>),
    ) -> Result<Trial, FisherError> {
        let dampening = Dampening::new(alpha, lambda)?;
        let (forget, own) = (self.forget, self.own);
        let theta = self.weight.values();
        let of_weight = dampen(
            theta,
            &forget.weight,
            &own.weight,
            dampening,
            weight.values_mut(),
        )?;
        let of_bias = dampen(self.bias, &forget.bias, &own.bias, dampening, bias)?;
        let score = self.score(weight.view(), bias)?;
        Ok(Trial {
            alpha,
            lambda,
            selected: of_weight.plus(of_bias).selected,
            ..score
        })
    }

    fn score(&self, weight: MatrixRef<'_>, bias: &[f32]) -> Result<Trial, FisherError> {
        let logits = linear(self.features, weight, bias)?;
        score_trial(logits.view(), self.labels, self.is_forget)
    }
}

/// The largest finite ratio of a forget value to an own value, at least 1.
pub fn largest_ratio(forget: &FisherTensor, own: &FisherTensor) -> f64 {
    forget
        .entries()
        .zip(own.entries())
        .filter(|(_, own)| *own > 0.0)
        .map(|(f, o)| f / o)
        .filter(|ratio| ratio.is_finite())
        .fold(1.0, f64::max)
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
/// the retained accuracy. Where the target leaves some accuracy on purpose, the probability left
/// is not held against a trial.
fn rank(trial: &Trial, retain_before: f64, target: Target) -> (f64, f64) {
    let missed = shortfall(trial, retain_before, target);
    let left = if target.forget > 0.0 {
        0.0
    } else {
        trial.forget_probability
    };
    (missed, left - trial.retain)
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
    use crate::estimator::Estimator;
    use crate::head::head_fisher;
    use crate::residuals::residuals;

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
        let residuals = residuals(logits.view(), &labels, Estimator::Empirical).unwrap();
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
            lowers: &Lowers::default(),
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
