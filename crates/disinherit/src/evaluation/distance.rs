//! How far outputs are from others'.

use fiun::Matrix;
use serde::{Deserialize, Serialize};

use super::attack::softmax;

/// The distance between two models' outputs, on the forget data and on held-out retained data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Distance {
    /// The mean Jensen-Shannon divergence in bits, 0 to 1, on the forget data.
    pub forget_divergence: f64,
    /// The mean Euclidean distance of the probabilities on the forget data (activation distance,
    /// Golatkar et al., arXiv:2003.02960).
    pub forget_activation: f64,
    /// The divergence on held-out retained data.
    pub retain_divergence: f64,
    /// The activation distance on held-out retained data.
    pub retain_activation: f64,
}

/// The mean Jensen-Shannon divergence (bits) and the mean Euclidean distance of the probabilities,
/// over pairs of rows.
pub(super) fn between(a: (&Matrix, &[usize]), b: (&Matrix, &[usize])) -> Option<(f64, f64)> {
    if a.1.is_empty() || a.1.len() != b.1.len() || a.0.cols() != b.0.cols() {
        return None;
    }
    let (mut divergence, mut distance) = (0.0, 0.0);
    for (&i, &j) in a.1.iter().zip(b.1) {
        let (p, q) = (softmax(a.0.view().row(i)), softmax(b.0.view().row(j)));
        let mut squares = 0.0;
        for (p, q) in p.iter().zip(&q) {
            let middle = (p + q) / 2.0;
            divergence += (half(*p, middle) + half(*q, middle)) / 2.0;
            squares += (p - q).powi(2);
        }
        distance += squares.sqrt();
    }
    let count = a.1.len() as f64;
    Some((divergence / count, distance / count))
}

fn half(p: f64, middle: f64) -> f64 {
    if p > 0.0 {
        p * (p / middle).log2()
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn equal_rows_are_close_and_opposite_rows_far() {
        let a = Matrix::new(1, 2, vec![100.0, 0.0]).unwrap();
        let b = Matrix::new(1, 2, vec![0.0, 100.0]).unwrap();
        assert_eq!(between((&a, &[0]), (&a, &[0])), Some((0.0, 0.0)));
        let (divergence, distance) = between((&a, &[0]), (&b, &[0])).unwrap();
        assert!((divergence - 1.0).abs() < 1e-9, "{divergence}");
        assert!((distance - 2f64.sqrt()).abs() < 1e-9, "{distance}");
        assert_eq!(between((&a, &[]), (&b, &[])), None);
    }
}
