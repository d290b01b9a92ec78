//! Merging FIMs: of several initial models (MFIM), and of parts of one model's data.

use crate::error::FisherError;
use crate::fisher::tensor::FisherTensor;
use crate::fisher::tensor::power_below;

/// The element-wise maximum of several FIMs of one tensor, divided by `scale`:
/// `F_M[i] = max_m F_m[i] / scale`. With scale 1 the merge is associative and commutative, so it
/// can be done pairwise and anywhere. Source: Liu et al., arXiv:2408.08493, Section 4 (MFIM).
///
/// # Errors
/// [`FisherError`] when there is no FIM, the shapes differ, or `scale` is below 1 or not finite.
pub fn merge(fims: &[&FisherTensor], scale: f64) -> Result<FisherTensor, FisherError> {
    if !(scale.is_finite() && scale >= 1.0) {
        return Err(FisherError::Parameter {
            name: "the MFIM scale",
            range: "a finite number of at least 1",
            value: scale,
        });
    }
    let Some((first, rest)) = fims.split_first() else {
        return Err(FisherError::NoSamples("to merge: no FIM was given".into()));
    };
    for other in rest {
        check_shape(first, other)?;
    }
    if rest.is_empty() {
        return Ok((*first).clone().times(1.0 / scale));
    }
    let cols = first.cols();
    let mut values = Vec::with_capacity(first.len());
    let mut scales = Vec::with_capacity(first.rows());
    let mut top = vec![0.0f64; cols];
    for row in 0..first.rows() {
        top.fill(0.0);
        for fim in fims {
            let (values, scale) = fim.row(row);
            for (top, value) in top.iter_mut().zip(values) {
                *top = top.max(f64::from(*value) * scale);
            }
        }
        let largest = power_below(top.iter().copied().fold(0.0, f64::max));
        scales.push(largest);
        values.extend(top.iter().map(|t| {
            if largest > 0.0 {
                (t / largest) as f32
            } else {
                0.0
            }
        }));
    }
    FisherTensor::from_parts(first.shape().to_vec(), values, scales)
        .map(|merged| merged.times(1.0 / scale))
}

/// The mean of several FIMs of one tensor, each with its share. With shares by numbers of samples this is the
/// FIM of one model on all of its data from those on parts of it.
///
/// # Errors
/// [`FisherError`] when there is no FIM, the shapes differ, or a share is negative or not finite.
pub fn mean(fims: &[(&FisherTensor, f64)]) -> Result<FisherTensor, FisherError> {
    let Some((first, _)) = fims.first() else {
        return Err(FisherError::NoSamples("to merge: no FIM was given".into()));
    };
    let mut sums = vec![0.0f64; first.len()];
    for (fim, share) in fims {
        check_shape(first, fim)?;
        for (sum, entry) in sums.iter_mut().zip(fim.entries()) {
            *sum += share * entry;
        }
    }
    FisherTensor::from_sums(first.shape(), &sums, 1.0)
}

fn check_shape(first: &FisherTensor, other: &FisherTensor) -> Result<(), FisherError> {
    if other.shape() == first.shape() {
        return Ok(());
    }
    Err(FisherError::Shape {
        what: "a FIM to be merged",
        found: format!("shape {:?}", other.shape()),
        expected: format!("{:?}", first.shape()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn fim(values: [f64; 4]) -> FisherTensor {
        FisherTensor::from_sums(&[2, 2], &values, 1.0).unwrap()
    }

    proptest! {
        #[test]
        fn merging_is_associative_and_commutative(
            a in proptest::array::uniform4(0f64..9.0),
            b in proptest::array::uniform4(0f64..9.0),
            c in proptest::array::uniform4(0f64..9.0),
        ) {
            let (a, b, c) = (fim(a), fim(b), fim(c));
            let all = merge(&[&a, &b, &c], 1.0).unwrap();
            let left = merge(&[&merge(&[&a, &b], 1.0).unwrap(), &c], 1.0).unwrap();
            let right = merge(&[&a, &merge(&[&c, &b], 1.0).unwrap()], 1.0).unwrap();
            let close = |x: &FisherTensor, y: &FisherTensor| {
                x.entries().zip(y.entries()).all(|(x, y)| (x - y).abs() <= 1e-7 * y)
            };
            prop_assert!(close(&all, &left));
            prop_assert!(close(&all, &right));
        }
    }

    #[test]
    fn the_scale_divides_and_is_checked() {
        let (a, b) = (fim([1., 8., 0., 2e-60]), fim([3., 4., 1e-60, 0.]));
        let merged: Vec<f64> = merge(&[&a, &b], 2.0).unwrap().entries().collect();
        assert_eq!(merged[..2], [1.5, 4.]);
        assert!((merged[2] / 0.5e-60 - 1.0).abs() < 1e-6 && (merged[3] / 1e-60 - 1.0).abs() < 1e-6);
        for scale in [0.5, f64::NAN, f64::INFINITY] {
            assert!(merge(&[&a], scale).is_err());
        }
        assert!(merge(&[], 1.0).is_err());
        assert!(merge(&[&a, &FisherTensor::zeros(&[4])], 1.0).is_err());
    }
}
