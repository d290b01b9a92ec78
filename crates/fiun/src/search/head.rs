//! The threshold of one linear head, chosen on cached features.

use crate::edit::dampen::{Dampening, dampen};
use crate::edit::suppression::SuppressibleRows;
use crate::error::{FisherError, expect_len};
use crate::fisher::head::LayerFisher;
use crate::fisher::tensor::FisherTensor;
use crate::kernel::matrix::{Matrix, MatrixRef};
use crate::kernel::product::linear;
use crate::search::alpha::{AlphaChoice, Effort, Search};
use crate::search::score::{Target, Trial, score_trial};

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
    /// The rows whose logits may be suppressed when dampening does not do.
    pub suppressible: &'a SuppressibleRows,
}

/// Chooses the threshold of one model by trying values on its cached features: each try costs a
/// matrix product and no forward pass. First a logarithmic grid over the ratios that occur, then
/// finer ones around the best value, since the edge between untouched and forgotten is sharp. Of
/// several dampening constants the best is kept.
///
/// Among the thresholds that meet `target`, the one with the best retained accuracy less the
/// probability that the forgotten labels keep is taken: the accuracies alone are steps, and a
/// threshold at the very edge of a step does not carry over to unseen samples. When none meets the
/// target, the one that misses it least is returned with `reached` false; or, where logits may be
/// suppressed, the one that forgets most of those that keep the retained samples, and the rest is taken
/// by [`LogitSuppression`](crate::LogitSuppression).
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
        retain_first: !problem.suppressible.is_empty(),
    };
    let mut scratch = (
        Matrix::zeros(problem.weight.rows(), problem.weight.cols()),
        vec![0.0; problem.bias.len()],
    );
    let choice = search.run(&mut |alpha, lambda| problem.trial(alpha, lambda, &mut scratch))?;
    let mut choice =
        choice.ok_or_else(|| FisherError::NoSamples("of dampening constants to try".into()))?;
    if !choice.reached && !problem.suppressible.is_empty() {
        problem.trial(choice.alpha, choice.lambda, &mut scratch)?;
        let logits = linear(problem.features, scratch.0.view(), &scratch.1)?;
        choice.suppress(
            logits,
            problem.labels,
            problem.is_forget,
            problem.suppressible,
            target,
        )?;
    }
    Ok(choice)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::fisher::estimator::Estimator;
    use crate::fisher::head::head_fisher;
    use crate::fisher::residuals::residuals;
    use crate::search::alpha::LAMBDAS;

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
            suppressible: &SuppressibleRows::default(),
        };
        chooses_well(problem);
        refuses_one_sided_samples(problem);
    }

    fn chooses_well(problem: HeadProblem<'_>) {
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
    }

    fn refuses_one_sided_samples(problem: HeadProblem<'_>) {
        let all = vec![true; problem.labels.len()];
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
        let none = vec![false; problem.labels.len()];
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
