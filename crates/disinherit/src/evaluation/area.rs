//! The area under the curve that tells two kinds of samples apart, with its error.

/// An area under a receiver operating characteristic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Area {
    /// The chance that a value of the first kind is above one of the second; equal ones count half.
    pub(crate) value: f64,
    /// Its standard error.
    pub(crate) error: f64,
}

/// The area for some values of the first kind against weighted ones of the second. Its error is DeLong's
/// (DeLong, DeLong and Clarke-Pearson 1988): from the spread of each value's share of the other kind that
/// it is above. Nothing where one kind has no values or no weight.
pub(crate) fn weighted_area(first: &[f64], second: &[f64], weights: &[f64]) -> Option<Area> {
    let total: f64 = weights.iter().sum();
    if first.is_empty() || second.len() != weights.len() || total.is_nan() || total <= 0.0 {
        return None;
    }
    let mut others: Vec<(f64, f64)> = second
        .iter()
        .copied()
        .zip(weights.iter().copied())
        .collect();
    others.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut sums = Vec::with_capacity(others.len() + 1);
    let mut sum = 0.0;
    for (_, weight) in &others {
        sums.push(sum);
        sum += weight;
    }
    sums.push(sum);
    let above = |value: f64| {
        let under = others.partition_point(|(other, _)| *other < value);
        let up_to = others.partition_point(|(other, _)| *other <= value);
        (sums[under] + sums[up_to]) / (2.0 * total)
    };
    let shares: Vec<f64> = first.iter().map(|value| above(*value)).collect();
    let count = first.len() as f64;
    let value = shares.iter().sum::<f64>() / count;
    let mut sorted = first.to_vec();
    sorted.sort_by(f64::total_cmp);
    let below = |other: f64| {
        let under = sorted.partition_point(|value| *value < other);
        let up_to = sorted.partition_point(|value| *value <= other);
        1.0 - (under + up_to) as f64 / (2.0 * count)
    };
    let of_first: f64 = shares.iter().map(|share| (share - value).powi(2)).sum();
    let of_second: f64 = others
        .iter()
        .map(|(other, weight)| (weight / total).powi(2) * (below(*other) - value).powi(2))
        .sum();
    let variance = of_first / (count * (count - 1.0).max(1.0)) + of_second;
    Some(Area {
        value,
        error: variance.sqrt(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::evaluation::attack::area;

    #[test]
    fn equal_weights_give_the_plain_area() {
        let first = [0.2, 0.5, 0.5, 0.9, 1.4];
        let second = [0.1, 0.5, 0.7, 0.3];
        let found = weighted_area(&first, &second, &[2.0; 4]).unwrap();
        assert!((found.value - area(&first, &second).unwrap()).abs() < 1e-12);
        // A weight of two is a value that is there twice.
        let doubled = weighted_area(&first, &second, &[1.0, 2.0, 1.0, 1.0]).unwrap();
        let twice = area(&first, &[0.1, 0.5, 0.5, 0.7, 0.3]).unwrap();
        assert!((doubled.value - twice).abs() < 1e-12);
        assert_eq!(weighted_area(&first, &second, &[0.0; 4]), None);
        assert_eq!(weighted_area(&[], &second, &[1.0; 4]), None);
    }

    /// Worked out by hand: the first kind is above 1/2 and all of the second, the second below 1/2 and all.
    #[test]
    fn the_error_is_delongs() {
        let found = weighted_area(&[2.0, 4.0], &[1.0, 3.0], &[1.0, 1.0]).unwrap();
        assert_eq!(found.value, 0.75);
        // (1/16 + 1/16) / (2 * 1) and 2 * 1/4 * 1/16
        assert!((found.error - (0.0625f64 + 0.03125).sqrt()).abs() < 1e-12);
    }
}
