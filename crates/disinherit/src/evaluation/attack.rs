//! Numbers that attacks are made of.

/// Samples of each kind without which areas say nothing.
pub(super) const FEWEST: usize = 20;

/// The softmax of a row of logits, in double precision.
pub(super) fn softmax(logits: &[f32]) -> Vec<f64> {
    let top = logits.iter().fold(f32::NEG_INFINITY, |top, v| top.max(*v));
    let powers: Vec<f64> = logits.iter().map(|v| f64::from(*v - top).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|p| p / sum).collect()
}

/// The area under the receiver operating characteristic: the chance that a value of the first kind
/// is above one of the second (equal ones count half). `None` where one kind has none.
pub(super) fn area(first: &[f64], second: &[f64]) -> Option<f64> {
    if first.is_empty() || second.is_empty() {
        return None;
    }
    let mut all: Vec<(f64, bool)> = first.iter().map(|v| (*v, true)).collect();
    all.extend(second.iter().map(|v| (*v, false)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut ranks, mut at) = (0.0, 0);
    while at < all.len() {
        let end = at + all[at..].iter().take_while(|v| v.0 == all[at].0).count();
        // Equal values share the mean of their ranks.
        let rank = (at + end + 1) as f64 / 2.0;
        ranks += rank * all[at..end].iter().filter(|v| v.1).count() as f64;
        at = end;
    }
    let (n, m) = (first.len() as f64, second.len() as f64);
    Some((ranks - n * (n + 1.0) / 2.0) / (n * m))
}

/// The share of the first kind above all but `false_share` of the second.
pub(super) fn found_at(first: &[f64], second: &[f64], false_share: f64) -> Option<f64> {
    if first.is_empty() || second.is_empty() {
        return None;
    }
    let mut sorted = second.to_vec();
    sorted.sort_by(f64::total_cmp);
    let allowed = (false_share * sorted.len() as f64) as usize;
    let bound = sorted[sorted.len() - 1 - allowed.min(sorted.len() - 1)];
    let above = first.iter().filter(|v| **v > bound).count();
    Some(above as f64 / first.len() as f64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn areas_and_shares() {
        assert_eq!(area(&[2.0, 3.0], &[0.0, 1.0]), Some(1.0));
        assert_eq!(area(&[0.0], &[1.0]), Some(0.0));
        assert_eq!(area(&[1.0, 1.0], &[1.0]), Some(0.5));
        assert_eq!(area(&[0.0, 2.0], &[1.0]), Some(0.5));
        assert_eq!(area(&[], &[1.0]), None);
        let second: Vec<f64> = (0..100).map(f64::from).collect();
        assert_eq!(found_at(&[98.5, 50.0], &second, 0.01), Some(0.5));
        assert_eq!(found_at(&[98.5, 50.0], &second, 0.0), Some(0.0));
        let p = softmax(&[1000.0, 0.0]);
        assert!((p[0] - 1.0).abs() < 1e-12 && p[1] >= 0.0);
    }
}
