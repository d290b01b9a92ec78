//! U-LiRA: whether a sample's log-odds give away which of two kinds of models they come from.

use serde::{Deserialize, Serialize};

use super::attack::{area, found_at};
use super::estimate::Estimate;

/// Models that the mean variance over all samples counts for, beside the models that a sample's own
/// variance is estimated from: of few models alone it is worth little.
const PRIOR: f64 = 4.0;

/// The least standard deviation, in nats.
const LEAST: f64 = 1e-3;

/// Log-odds of models that were not shadows, without which a share of one in a hundred says nothing.
const FEWEST: usize = 100;

/// How well unlearned models are told from retrained ones, sample by sample, by an attacker who has models
/// of both kinds that were trained with other seeds (U-LiRA, Hayes et al., arXiv:2403.01218). Each network
/// is attacked in turn, with the others as shadows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ShadowAttack {
    /// The share of forget samples that the attacker classifies correctly as unlearned or never learnt,
    /// over the attacked networks; 0.5 is chance.
    pub accuracy: Estimate,
    /// The area under the curve of the likelihood ratio, over the attacked networks; 0.5 is chance.
    pub area: Estimate,
    /// The share of unlearned samples that are found while one in a hundred of the never learnt ones is
    /// taken for one, over all samples and networks; nothing where these are fewer than a hundred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found_at_one_percent: Option<f64>,
}

/// A normal distribution of each sample's log-odds.
struct Normals {
    /// Mean and standard deviation, by sample.
    each: Vec<(f64, f64)>,
}

impl Normals {
    /// Fitted to all models but one: `models` have the log-odds of the same samples. The variance of a
    /// sample is `((n - 1) s^2 + 4 m) / ((n - 1) + 4)`, with the unbiased variance `s^2` of `n` models and
    /// its mean `m` over all samples.
    fn fit(models: &[&[f32]], left_out: usize) -> Self {
        let shadows: Vec<&[f32]> = (0..models.len())
            .filter(|at| *at != left_out)
            .map(|at| models[at])
            .collect();
        let (count, samples) = (shadows.len() as f64, models[left_out].len());
        let freedom = count - 1.0;
        let plain: Vec<(f64, f64)> = (0..samples)
            .map(|sample| {
                let values = || shadows.iter().map(|model| f64::from(model[sample]));
                let mean = values().sum::<f64>() / count;
                let squares: f64 = values().map(|value| (value - mean).powi(2)).sum();
                (mean, squares / freedom)
            })
            .collect();
        let shared = plain.iter().map(|(_, variance)| variance).sum::<f64>() / samples as f64;
        let each = plain.iter().map(|(mean, variance)| {
            let variance = (freedom * variance + PRIOR * shared) / (freedom + PRIOR);
            (*mean, variance.sqrt().max(LEAST))
        });
        Self {
            each: each.collect(),
        }
    }

    /// The logarithm of the density at a sample's log-odds, but for a constant.
    fn log_density(&self, sample: usize, value: f64) -> f64 {
        let (mean, deviation) = self.each[sample];
        -deviation.ln() - ((value - mean) / deviation).powi(2) / 2.0
    }
}

/// The attack on two kinds of models, `[network][sample]`: those at the same place of both lists are of one
/// network and are left out of the fits together. Nothing with fewer than three networks, since two are
/// needed for a variance, or without samples.
pub(super) fn attack(first: &[&[f32]], second: &[&[f32]]) -> Option<ShadowAttack> {
    let samples = first.first()?.len();
    let same = |models: &[&[f32]]| models.iter().all(|model| model.len() == samples);
    let alike = first.len() == second.len() && same(first) && same(second);
    if !alike || first.len() < 3 || samples == 0 {
        return None;
    }
    let (mut accuracies, mut areas) = (Vec::new(), Vec::new());
    let (mut all_first, mut all_second) = (Vec::new(), Vec::new());
    for target in 0..first.len() {
        let [of_first, of_second] = [first, second].map(|models| Normals::fit(models, target));
        let ratios = |model: &[f32]| -> Vec<f64> {
            let values = model.iter().map(|value| f64::from(*value)).enumerate();
            values
                .map(|(at, value)| {
                    of_first.log_density(at, value) - of_second.log_density(at, value)
                })
                .collect()
        };
        let (ours, theirs) = (ratios(first[target]), ratios(second[target]));
        let right = ours.iter().map(|ratio| above_zero(*ratio)).sum::<f64>()
            + theirs.iter().map(|ratio| above_zero(-ratio)).sum::<f64>();
        accuracies.push(right / (2 * samples) as f64);
        areas.push(area(&ours, &theirs)?);
        all_first.extend(ours);
        all_second.extend(theirs);
    }
    let enough = all_second.len() >= FEWEST;
    Some(ShadowAttack {
        accuracy: Estimate::new(&accuracies)?,
        area: Estimate::new(&areas)?,
        found_at_one_percent: enough
            .then(|| found_at(&all_first, &all_second, 0.01))
            .flatten(),
    })
}

/// One for a ratio that is above zero, a half where it is zero.
fn above_zero(ratio: f64) -> f64 {
    if ratio == 0.0 {
        0.5
    } else {
        f64::from(u8::from(ratio > 0.0))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const FIRST: [&[f32]; 4] = [
        &[2.0, -1.0, 0.5],
        &[1.0, 0.25, 1.5],
        &[3.0, -0.5, -0.75],
        &[2.5, 0.75, 0.0],
    ];
    const SECOND: [&[f32]; 4] = [
        &[0.5, -1.5, 0.25],
        &[-1.0, 0.5, 2.0],
        &[1.25, -2.0, -1.0],
        &[0.0, -0.25, 1.0],
    ];

    /// Against SciPy's `norm.logpdf` and `mannwhitneyu`, with variances by NumPy.
    #[test]
    fn ratios_and_areas_are_scipys() {
        let [first, second] = [FIRST, SECOND].map(|models| Normals::fit(&models, 0));
        let expected = [
            1.382_171_309_160_105_3,
            -0.441_920_375_682_817_4,
            0.281_961_626_213_996_8,
        ];
        for (at, (value, ratio)) in FIRST[0].iter().zip(expected).enumerate() {
            let value = f64::from(*value);
            let found = first.log_density(at, value) - second.log_density(at, value);
            assert!((found - ratio).abs() < 1e-12, "{at}: {found}");
        }
        let found = attack(&FIRST, &SECOND).unwrap();
        assert!((found.accuracy.mean - 7.0 / 12.0).abs() < 1e-12);
        assert!((found.accuracy.deviation - 0.096_225_044_864_937_6).abs() < 1e-12);
        assert!((found.area.mean - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(
            (found.accuracy.count, found.found_at_one_percent),
            (4, None)
        );
    }

    #[test]
    fn what_is_far_apart_is_told_and_what_is_equal_is_not() {
        let apart: Vec<Vec<f32>> = (0..10)
            .map(|network| (0..10).map(|s| 50.0 + s as f32 + network as f32).collect())
            .collect();
        let apart: Vec<&[f32]> = apart.iter().map(Vec::as_slice).collect();
        let low = [-100.0f32; 10];
        let masked = [&low[..]; 10];
        let found = attack(&masked, &apart).unwrap();
        assert_eq!((found.accuracy.mean, found.area.mean), (1.0, 1.0));
        assert_eq!(found.found_at_one_percent, Some(1.0));
        let equal = attack(&apart, &apart).unwrap();
        assert_eq!((equal.accuracy.mean, equal.area.mean), (0.5, 0.5));
    }

    /// Two kinds of models that differ by chance alone; samples of different means and spreads.
    #[test]
    fn models_of_one_kind_are_told_apart_as_often_as_not() {
        use rand::{RngExt, SeedableRng};
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let mut drawn = || -> Vec<Vec<f32>> {
            let network = |_| {
                let draw = |at: usize| {
                    let normal = (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0;
                    (at % 20) as f32 - 5.0 + (0.5 + (at % 7) as f32) * normal
                };
                (0..400).map(draw).collect()
            };
            (0..16).map(network).collect()
        };
        let (first, second) = (drawn(), drawn());
        let [first, second] =
            [&first, &second].map(|models| models.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let found = attack(&first, &second).unwrap();
        assert!((found.accuracy.mean - 0.5).abs() < 0.02, "{found:?}");
        assert!((found.area.mean - 0.5).abs() < 0.02, "{found:?}");
        let found = found.found_at_one_percent.unwrap();
        assert!(found < 0.02, "{found}");
    }

    #[test]
    fn too_few_networks_or_other_samples_are_not_attacked() {
        assert_eq!(attack(&FIRST[..2], &SECOND[..2]), None);
        assert_eq!(attack(&FIRST, &SECOND[..3]), None);
        assert_eq!(attack(&[&[], &[], &[]], &[&[], &[], &[]]), None);
        assert_eq!(attack(&FIRST[..3], &[&[1.0], &[1.0], &[1.0]]), None);
    }
}
