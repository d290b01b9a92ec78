//! Whether what was made in pieces is what the whole network makes.

/// How far a value may be from the whole network's, as a share of its largest.
const TOLERANCE: f32 = 1e-3;

/// Whether there are as many values as the whole network makes, each within a thousandth of the largest of its own.
pub fn agrees(ours: &[f32], whole: &[f32]) -> bool {
    let most = whole.iter().fold(0.0f32, |most, v| most.max(v.abs()));
    let close = |(a, b): (&f32, &f32)| (a - b).abs() <= TOLERANCE * most;
    ours.len() == whole.len() && ours.iter().zip(whole).all(close)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_agree_within_a_thousandth_of_the_largest() {
        let whole = [10.0, 0.0, -1.0];
        assert!(agrees(&whole, &whole));
        assert!(agrees(&[10.0, 0.009, -1.0], &whole));
        assert!(!agrees(&[10.0, 0.02, -1.0], &whole));
        assert!(!agrees(&[10.0, f32::NAN, -1.0], &whole));
        assert!(!agrees(&[10.0, 0.0], &whole));
    }
}
