//! The search for the weight of Fisher's criterion at which as much of it is left as is wanted.

/// The share of the criterion that an edit of one layer may leave: what leaves more is refined.
pub(super) const ENOUGH: f64 = 0.78;

/// The share that steps are to leave: at least, at most.
const LEFT: [f64; 2] = [0.54, 0.66];

/// How far a share is from the middle of what steps are to leave.
pub(super) fn far(share: f64) -> f64 {
    (share - f64::midpoint(LEFT[0], LEFT[1])).abs()
}

/// The same, or nothing where so much is left that the edit of one layer would do as well, or too little.
pub(super) fn distance(share: f64) -> Option<f64> {
    let between = (LEFT[0]..=ENOUGH).contains(&share);
    between.then(|| far(share))
}

/// The weight that is tried first, and by how much the next one may differ until the share is between two.
const FIRST: f64 = 0.02;
const STEP: f64 = 2.5;

/// By how much the logarithm of the weight is to grow for a share that is to fall by one, as long as one trial is all
/// that is known.
const SLOPE: f64 = 3.0;

/// Between two weights, how near to one of them the next is.
const NEAR: f64 = 0.2;

/// Which weight to try next.
pub(super) struct WeightSearch {
    weight: f64,
    /// The weight and the share of the last trials that left too much and too little.
    around: [Option<(f64, f64)>; 2],
    /// Those of the last trial.
    last: Option<(f64, f64)>,
}

impl WeightSearch {
    pub(super) fn new() -> Self {
        Self {
            weight: FIRST,
            around: [None; 2],
            last: None,
        }
    }

    /// What to try.
    pub(super) fn weight(&self) -> f64 {
        self.weight
    }

    /// Whether so much is wanted; otherwise another weight is to be tried.
    pub(super) fn told(&mut self, share: f64) -> bool {
        let [least, most] = LEFT;
        if (least..=most).contains(&share) {
            return true;
        }
        let wanted = f64::midpoint(least, most);
        let now = (self.weight, share);
        self.around[usize::from(share < least)] = Some(now);
        self.weight = match self.around {
            [Some(weak), Some(strong)] => between(weak, strong, wanted),
            _ => {
                let slope = self.last.map_or(SLOPE, |last| slope(last, now));
                let factor = ((share - wanted) * slope).exp();
                self.weight * factor.clamp(1.0 / STEP, STEP)
            }
        };
        self.last = Some(now);
        false
    }
}

/// By how much the logarithm of the weight grows for a share that falls by one, from two trials; as steep as can be
/// where a greater weight left no less.
fn slope((before, more): (f64, f64), (now, less): (f64, f64)) -> f64 {
    let slope = (now / before).ln() / (more - less);
    if slope > 0.0 { slope } else { f64::MAX }
}

/// Where a line through both trials has the wanted share, over the logarithm of the weight.
fn between((weak, more): (f64, f64), (strong, less): (f64, f64), wanted: f64) -> f64 {
    let part = (more - wanted) / (more - less);
    let part = if part.is_finite() { part } else { 0.5 };
    let part = part.clamp(NEAR, 1.0 - NEAR);
    weak * (strong / weak).powf(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Networks whose share falls with the logarithm of the weight, slowly and quickly, from any height.
    #[test]
    fn few_trials_find_what_is_wanted() {
        for slope in [0.1, 0.2, 0.35, 0.6] {
            for at_first in [0.95, 0.85, 0.7, 0.5, 0.3] {
                let left = |weight: f64| (at_first - slope * (weight / FIRST).ln()).clamp(0.0, 1.0);
                let mut search = WeightSearch::new();
                let mut trials = 1;
                while !search.told(left(search.weight())) {
                    trials += 1;
                    assert!(trials <= 5, "{slope} {at_first}");
                }
            }
        }
    }

    #[test]
    fn nothing_odd_comes_of_shares_that_are_no_numbers() {
        let mut search = WeightSearch::new();
        assert!(!search.told(f64::INFINITY));
        assert!((search.weight() - FIRST * STEP).abs() < 1e-12);
        assert!(!search.told(0.0));
        assert!(search.weight() > 0.0 && search.weight().is_finite());
    }
}
