//! Which samples a measurement takes.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Every so-manieth, so that at most `limit` are left.
pub(super) fn thinned(picked: &[usize], limit: usize) -> Vec<usize> {
    let step = picked.len().div_ceil(limit.max(1)).max(1);
    picked.iter().copied().step_by(step).collect()
}

/// The same samples in an order that the seed decides.
pub(super) fn shuffled(picked: &[usize], seed: u64) -> Vec<usize> {
    let mut order = picked.to_vec();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    order
}

/// At most `limit` of the samples, drawn by the seed.
pub(super) fn drawn(picked: &[usize], limit: usize, seed: u64) -> Vec<usize> {
    let mut order = shuffled(picked, seed);
    order.truncate(limit);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_thinned_evenly_and_drawn_by_seed() {
        let all: Vec<usize> = (0..10).collect();
        assert_eq!(thinned(&all, 5), [0, 2, 4, 6, 8]);
        assert_eq!(thinned(&all, 100), all);
        assert_eq!(thinned(&[], 3), Vec::<usize>::new());
        let mut mixed = shuffled(&all, 1);
        assert_ne!(mixed, all);
        assert_ne!(mixed, shuffled(&all, 2));
        assert_eq!(drawn(&all, 4, 1), mixed[..4]);
        mixed.sort_unstable();
        assert_eq!(mixed, all);
    }
}
