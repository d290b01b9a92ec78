//! The selection threshold, chosen for the user.

use serde::{Deserialize, Serialize};

use crate::edit::suppression::{LogitSuppression, SuppressibleRows};
use crate::error::FisherError;
use crate::kernel::matrix::Matrix;
use crate::search::score::{Target, Trial, best_index, rank, score_trial, shortfall};

/// The threshold to start from when there is no data to try values on, for FIMs on a common scale
/// (each divided by the mean of its own model's total FIM): the middle of the range of 4 to 5 that served all models of a
/// federated network on CIFAR-10 at once.
pub const DATA_FREE_ALPHA: f64 = 4.5;

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

/// The dampening constants that are tried when none is given: from the usual 1 down to 0, which
/// clears what is selected.
pub const LAMBDAS: [f64; 4] = [1.0, 0.3, 0.1, 0.0];

/// The chosen threshold and what it was chosen from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlphaChoice {
    /// The threshold.
    pub alpha: f64,
    /// The dampening constant.
    pub lambda: f64,
    /// Whether they meet the target, together with the suppression if there is one.
    pub reached: bool,
    /// By how much the logits of the forgotten labels were suppressed besides.
    #[serde(rename = "lowering", default, skip_serializing_if = "Option::is_none")]
    pub suppression: Option<LogitSuppression>,
    /// Accuracy on forget and retained samples before any edit.
    pub before: (f64, f64),
    /// Every threshold tried with this dampening constant, by alpha.
    pub curve: Vec<Trial>,
}

impl AlphaChoice {
    /// Takes what dampening left of the forgotten labels by suppressing their logits. `logits` are
    /// those after dampening.
    ///
    /// # Errors
    /// As [`score_trial`].
    pub fn suppress(
        &mut self,
        mut logits: Matrix,
        labels: &[u32],
        is_forget: &[bool],
        suppressible: &SuppressibleRows,
        target: Target,
    ) -> Result<(), FisherError> {
        let dampened = score_trial(logits.view(), labels, is_forget)?;
        let needed =
            LogitSuppression::needed(logits.view(), is_forget, suppressible, dampened.forget)?;
        let Some(suppression) = needed else {
            return Ok(());
        };
        let cols = logits.cols().max(1);
        for row in logits.values_mut().chunks_exact_mut(cols) {
            suppression.apply(row, cols);
        }
        let suppressed = score_trial(logits.view(), labels, is_forget)?;
        self.reached = shortfall(&suppressed, self.before.1, target) <= 0.0;
        self.suppression = Some(suppression);
        Ok(())
    }
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

/// A trial, and the curve of its dampening constant.
type Tried = (Trial, Vec<Trial>);

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
        // A coarse round for each dampening constant, the finer ones for the best of them only.
        let (best, mut others) = self.coarse(trial)?;
        let Some((Trial { lambda, .. }, mut curve)) = best else {
            return Ok(None);
        };
        self.refine(&mut curve, lambda, trial)?;
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
            suppression: None,
            before: self.before,
            curve,
        }))
    }

    /// A coarse round for each dampening constant: the best of them, and the others.
    fn coarse<E>(
        &self,
        trial: &mut dyn FnMut(f64, f64) -> Result<Trial, E>,
    ) -> Result<(Option<Tried>, Vec<Tried>), E> {
        let (target, retain_before) = (self.target, self.before.1);
        let mut best: Option<Tried> = None;
        let mut others = Vec::new();
        for &lambda in self.lambdas {
            // Below lambda, what is selected besides keeps a factor of 1.
            let high = self.largest_ratio.clamp(1.0, 1e12) * 1.01;
            let alphas = grid(lambda.clamp(0.25, 1.0), high, self.effort.coarse);
            let curve = try_all(alphas, lambda, trial)?;
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
        Ok((best, others))
    }

    /// Finer rounds around the best trial of a curve.
    fn refine<E>(
        &self,
        curve: &mut Vec<Trial>,
        lambda: f64,
        trial: &mut dyn FnMut(f64, f64) -> Result<Trial, E>,
    ) -> Result<(), E> {
        for _ in 0..self.effort.rounds {
            let best = best_index(curve, self.before.1, self.target);
            let left = curve[best.saturating_sub(1)].alpha;
            let right = curve[(best + 1).min(curve.len() - 1)].alpha;
            curve.extend(try_all(grid(left, right, self.effort.fine), lambda, trial)?);
            curve.sort_by(|a, b| a.alpha.total_cmp(&b.alpha));
            curve.dedup_by(|a, b| a.alpha == b.alpha);
        }
        Ok(())
    }

    /// What a trial does to the retained samples beyond what is allowed, before what it leaves of
    /// the forget samples: the first weighs more than all of the second.
    fn harm(&self, trial: &Trial) -> f64 {
        let lost = self.before.1 - self.target.retain_loss - trial.retain;
        1e3 * lost.max(0.0) + trial.forget + trial.forget_probability
    }
}

fn grid(low: f64, high: f64, points: usize) -> Vec<f64> {
    let step = (high / low).ln() / (points - 1) as f64;
    (0..points).map(|i| low * (step * i as f64).exp()).collect()
}

fn try_all<E>(
    alphas: Vec<f64>,
    lambda: f64,
    trial: &mut dyn FnMut(f64, f64) -> Result<Trial, E>,
) -> Result<Vec<Trial>, E> {
    alphas
        .into_iter()
        .map(|alpha| trial(alpha, lambda))
        .collect()
}
