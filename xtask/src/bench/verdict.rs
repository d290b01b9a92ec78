//! Whether figures have changed, or only their noise.
//!
//! Two conditions must hold before a change is told. The runs of before and those of now must lie apart: the
//! Mann-Whitney test of their ranks, two-sided and exact, ties included, with an error of at most one in a hundred.
//! It takes no shape of the noise for granted, and one disturbed run among five changes a rank and not a mean. And the
//! medians must differ by more than a tenth: what is less is what moving code around in a binary does.

/// The error that is allowed.
const ERROR: f64 = 0.01;

/// The least change of the median that counts.
const CHANGE: f64 = 0.10;

/// The fewest runs on each side: of four and four, even ranks that lie apart are one of 70 orders.
const FEWEST: usize = 5;

/// What has become of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Clearly worse.
    Worse,
    /// Clearly better.
    Better,
    /// Not clearly different.
    Same,
    /// Too few runs to tell.
    TooFew,
}

impl Verdict {
    /// In words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Worse => "REGRESSED",
            Self::Better => "improved",
            Self::Same => "no clear change",
            Self::TooFew => "too few runs",
        }
    }
}

/// What is known of a change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    /// The medians, before and now.
    pub(crate) medians: [f64; 2],
    /// How often runs of one and the same program lie as far apart.
    pub(crate) chance: f64,
    pub(crate) verdict: Verdict,
}

/// Compares the runs of before with those of now.
pub(crate) fn judge(before: &[f64], now: &[f64], more_is_better: bool) -> Change {
    let medians = [median(before), median(now)];
    let chance = chance(before, now);
    let apart = (medians[1] - medians[0]).abs() > CHANGE * medians[0].abs();
    let verdict = if before.len() < FEWEST || now.len() < FEWEST {
        Verdict::TooFew
    } else if !apart || chance > ERROR {
        Verdict::Same
    } else if (medians[1] > medians[0]) == more_is_better {
        Verdict::Better
    } else {
        Verdict::Worse
    };
    Change {
        medians,
        chance,
        verdict,
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.get(middle), sorted.len() % 2) {
        (None, _) => f64::NAN,
        (Some(value), 1) => *value,
        (Some(value), _) => (sorted[middle - 1] + value) / 2.0,
    }
}

/// The probability that the ranks of two samples from one distribution lie at least as far apart as these.
fn chance(before: &[f64], now: &[f64]) -> f64 {
    let ranks = doubled_ranks(before, now);
    let all: usize = ranks.iter().sum();
    // In how many ways so many of all ranks have a sum.
    let mut ways = vec![vec![0.0f64; all + 1]; before.len() + 1];
    ways[0][0] = 1.0;
    for (seen, rank) in ranks.iter().enumerate() {
        for count in (1..=before.len().min(seen + 1)).rev() {
            for sum in (*rank..=all).rev() {
                ways[count][sum] += ways[count - 1][sum - rank];
            }
        }
    }
    let mean = all as f64 * before.len() as f64 / ranks.len().max(1) as f64;
    let distance = |sum: usize| (sum as f64 - mean).abs();
    let own = distance(ranks[..before.len()].iter().sum());
    let ways = &ways[before.len()];
    let far = ways.iter().enumerate();
    let far: f64 = far
        .filter(|(sum, _)| distance(*sum) >= own - 1e-9)
        .map(|(_, ways)| ways)
        .sum();
    far / ways.iter().sum::<f64>()
}

/// Twice the rank of each value among all, those of before first; equal values share the mean of their ranks.
fn doubled_ranks(before: &[f64], now: &[f64]) -> Vec<usize> {
    let all: Vec<f64> = before.iter().chain(now).copied().collect();
    let below = |value: f64| all.iter().filter(|other| **other < value).count();
    let equal = |value: f64| all.iter().filter(|other| **other == value).count();
    let ranks = all.iter();
    ranks
        .map(|value| 2 * below(*value) + equal(*value) + 1)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(before: &[f64], now: &[f64]) -> Verdict {
        judge(before, now, false).verdict
    }

    const BASE: [f64; 5] = [1.00, 1.02, 0.98, 1.05, 0.99];

    #[test]
    fn a_clear_change_is_told() {
        let slower = BASE.map(|value| value * 1.3);
        assert_eq!(verdict(&BASE, &slower), Verdict::Worse);
        assert_eq!(verdict(&slower, &BASE), Verdict::Better);
        // Of images in a second more is better.
        assert_eq!(judge(&BASE, &slower, true).verdict, Verdict::Better);
        assert_eq!(judge(&slower, &BASE, true).verdict, Verdict::Worse);
    }

    #[test]
    fn noise_is_no_change() {
        // Wide, and one over the other.
        let noisy = [1.0, 1.4, 0.9, 1.5, 1.2];
        let other = [1.3, 1.6, 1.0, 1.7, 1.1];
        assert_eq!(verdict(&noisy, &other), Verdict::Same);
        // Two runs that were disturbed lift a mean by half, and no verdict.
        let disturbed = [1.01, 2.5, 0.99, 2.2, 1.02];
        assert_eq!(verdict(&BASE, &disturbed), Verdict::Same);
        // Apart without doubt, but by little.
        let little = BASE.map(|value| value + 0.08);
        assert!(judge(&BASE, &little, false).chance <= ERROR);
        assert_eq!(verdict(&BASE, &little), Verdict::Same);
        assert_eq!(verdict(&BASE, &BASE), Verdict::Same);
    }

    #[test]
    fn few_runs_tell_nothing() {
        let slower = BASE.map(|value| value * 3.0);
        assert_eq!(verdict(&BASE[..4], &slower), Verdict::TooFew);
        assert_eq!(verdict(&BASE, &slower[..1]), Verdict::TooFew);
        assert_eq!(verdict(&[], &[]), Verdict::TooFew);
    }

    #[test]
    fn the_chance_is_that_of_the_textbook() {
        // All of one below all of the other: one of the 252 orders on either side.
        let apart = chance(&[1., 2., 3., 4., 5.], &[6., 7., 8., 9., 10.]);
        assert!((apart - 2.0 / 252.0).abs() < 1e-12, "{apart}");
        // By hand: of the ten sums of two of the ranks 1, 2, 3.5, 3.5, 5 (mean 6) no other is as far away as 3.
        let tied = chance(&[1., 2.], &[3., 3., 4.]);
        assert!((tied - 1.0 / 10.0).abs() < 1e-12, "{tied}");
        assert!((chance(&[1., 1.], &[1., 1.]) - 1.0).abs() < 1e-12);
    }
}
