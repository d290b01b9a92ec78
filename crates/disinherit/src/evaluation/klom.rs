//! KLOM: how far apart the log-odds of two kinds of models are, as distributions over training seeds.

use serde::{Deserialize, Serialize};

/// Bins of a histogram.
const BINS: usize = 20;

/// The least share of a bin of the models that are compared with: an empty one would make the divergence
/// infinite.
const LEAST: f64 = 1e-5;

/// The divergence of a model's log-odds from those of the same model retrained, over networks that were
/// trained with other seeds, in nats (KLOM, Georgiev et al., arXiv:2410.23232).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Klom {
    /// Models in each histogram.
    pub models: usize,
    /// On forget samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forget: Option<KlomSpread>,
    /// On the model's own retained training samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retain: Option<KlomSpread>,
    /// On held-out samples of what is retained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heldout: Option<KlomSpread>,
}

/// A divergence over samples, in nats.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct KlomSpread {
    /// Its mean.
    pub mean: f64,
    /// Its 95th percentile: the least value that 19 of 20 samples do not exceed.
    pub high: f64,
}

/// The divergence of a sample's log-odds by some models from those by others, `sum p ln(p / q)`, where `p`
/// and `q` are histograms of 20 bins that are equally wide between the least and the largest value of both.
/// A bin of `q` has at least a share of 1e-5; `q` is divided by its sum.
fn divergence(ours: &[f64], theirs: &[f64]) -> f64 {
    let all = || ours.iter().chain(theirs).copied();
    let (low, high) = (
        all().fold(f64::MAX, f64::min),
        all().fold(f64::MIN, f64::max),
    );
    if high <= low {
        return 0.0;
    }
    let shares = |values: &[f64]| {
        let mut shares = [0.0; BINS];
        for value in values {
            let place = ((value - low) / (high - low) * BINS as f64) as usize;
            shares[place.min(BINS - 1)] += 1.0 / values.len() as f64;
        }
        shares
    };
    let (p, q) = (shares(ours), shares(theirs).map(|share| share.max(LEAST)));
    let sum: f64 = q.iter().sum();
    let both = p.iter().zip(&q).filter(|(p, _)| **p > 0.0);
    both.map(|(p, q)| p * (p * sum / q).ln()).sum()
}

/// The divergence of each sample, then its mean and 95th percentile over samples; models are
/// `[network][sample]`, at the same place of both lists of one network. One half of the networks is compared
/// with the other half, every second one, both ways, so that no model is compared with one of its own network,
/// which shares its seed, and so that models can be compared with their like in the same way. Nothing with
/// fewer than four networks, or without samples.
pub(super) fn klom(ours: &[&[f32]], theirs: &[&[f32]]) -> Option<KlomSpread> {
    let samples = ours.first()?.len();
    let half = half_of(ours.len());
    let same = |models: &[&[f32]]| models.iter().all(|model| model.len() == samples);
    if ours.len() != theirs.len() || !same(ours) || !same(theirs) || half < 2 || samples == 0 {
        return None;
    }
    let of = |models: &[&[f32]], first: usize, sample: usize| -> Vec<f64> {
        let half = models.iter().skip(first).step_by(2).take(half);
        half.map(|model| f64::from(model[sample])).collect()
    };
    let way = |sample, first| divergence(&of(ours, first, sample), &of(theirs, 1 - first, sample));
    let mut each: Vec<f64> = (0..samples)
        .map(|sample| (way(sample, 0) + way(sample, 1)) / 2.0)
        .collect();
    each.sort_by(f64::total_cmp);
    let place = (samples * 19).div_ceil(20).max(1) - 1;
    Some(KlomSpread {
        mean: each.iter().sum::<f64>() / samples as f64,
        high: each[place],
    })
}

/// The models in each half of so many.
pub(super) fn half_of(count: usize) -> usize {
    count / 2
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Against NumPy's `histogram` and SciPy's `entropy`.
    #[test]
    fn the_divergence_is_scipys() {
        let ours = [0.1, 1.3, 2.7, 2.72, 9.9, 4.4];
        let theirs = [0.12, 2.74, 4.41, 5.5, 6.1, 7.7];
        let close =
            |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found}");
        close(divergence(&ours, &theirs), 3.471_577_715_634_954_8);
        close(divergence(&theirs, &ours), 4.745_208_456_528_887_5);
        assert_eq!(divergence(&[1.0], &[1.0]), 0.0);
        // Fifteen empty bins are not quite empty.
        close(divergence(&ours, &ours), (1.0f64 + 15e-5).ln());
        // All in an empty bin: 1 / 1e-5, divided by the sum of the shares.
        close(divergence(&[0.0], &[1.0]), (1e5f64 * (1.0 + 19e-5)).ln());
    }

    #[test]
    fn halves_of_the_networks_are_compared_both_ways() {
        let ours: [&[f32]; 4] = [&[0.0, 3.0], &[1.0, 3.5], &[2.0, 8.0], &[7.0, 9.0]];
        let theirs: [&[f32]; 4] = [&[7.0, 3.5], &[0.0, 3.0], &[1.0, 8.0], &[9.0, 8.8]];
        let found = klom(&ours, &theirs).unwrap();
        let [first, second] = [2.705_124_554_904_515, 5.410_069_126_007_086];
        assert!((found.mean - (first + second) / 2.0).abs() < 1e-12);
        assert!((found.high - f64::max(first, second)).abs() < 1e-12);
        // A fifth network has no partner.
        let more = [&ours[..], &[&[50.0, 50.0]]].concat();
        let beside = [&theirs[..], &[&[-50.0, 50.0]]].concat();
        assert_eq!(klom(&more, &beside), Some(found));
        assert_eq!(klom(&ours[..3], &theirs[..3]), None);
        assert_eq!(klom(&ours, &theirs[..3]), None);
    }
}
