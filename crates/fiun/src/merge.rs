//! Merging several initial models' FIMs into one (MFIM).

use crate::error::{expect_finite, expect_len};
use crate::{FisherError, LayerFisher, Matrix};

/// The element-wise maximum of several FIMs, divided by `scale`: `F_M[i] = max_m F_m[i] / scale`.
/// With scale 1 the merge is associative and commutative, so it can be done pairwise and anywhere.
/// Source: Liu et al., arXiv:2408.08493, Section 4 (MFIM).
///
/// # Errors
/// [`FisherError`] when there is no FIM, the shapes differ, a value is not finite, or `scale` is
/// below 1 or not finite.
pub fn merge(fims: &[&LayerFisher], scale: f64) -> Result<LayerFisher, FisherError> {
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
    let mut weight = first.weight.values().to_vec();
    let mut bias = first.bias.clone();
    for fim in rest {
        raise("the weight FIM", &mut weight, fim.weight.values())?;
        raise("the bias FIM", &mut bias, &fim.bias)?;
    }
    expect_finite("the weight FIM", &weight)?;
    expect_finite("the bias FIM", &bias)?;
    let weight = Matrix::new(first.weight.rows(), first.weight.cols(), weight)?;
    Ok(LayerFisher { weight, bias }.rescaled(scale))
}

fn raise(what: &'static str, into: &mut [f32], from: &[f32]) -> Result<(), FisherError> {
    expect_len(what, from.len(), into.len())?;
    for (a, &b) in into.iter_mut().zip(from) {
        // `f32::max` would drop a NaN; it must reach the check instead.
        if b > *a || b.is_nan() {
            *a = b;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn fim(values: [f32; 4]) -> LayerFisher {
        let weight = Matrix::new(2, 1, values[..2].to_vec()).unwrap();
        LayerFisher {
            weight,
            bias: values[2..].to_vec(),
        }
    }

    proptest! {
        #[test]
        fn merging_is_associative_and_commutative(
            a in proptest::array::uniform4(0f32..9.0),
            b in proptest::array::uniform4(0f32..9.0),
            c in proptest::array::uniform4(0f32..9.0),
        ) {
            let (a, b, c) = (fim(a), fim(b), fim(c));
            let all = merge(&[&a, &b, &c], 1.0).unwrap();
            let left = merge(&[&merge(&[&a, &b], 1.0).unwrap(), &c], 1.0).unwrap();
            let right = merge(&[&a, &merge(&[&c, &b], 1.0).unwrap()], 1.0).unwrap();
            prop_assert_eq!(&all, &left);
            prop_assert_eq!(&all, &right);
        }
    }

    #[test]
    fn the_scale_divides_and_is_checked() {
        let (a, b) = (fim([1., 8., 0., 2.]), fim([3., 4., 1., 0.]));
        let merged = merge(&[&a, &b], 2.0).unwrap();
        assert_eq!(merged.weight.values(), [1.5, 4.]);
        assert_eq!(merged.bias, [0.5, 1.]);
        for scale in [0.5, f64::NAN, f64::INFINITY] {
            assert!(merge(&[&a], scale).is_err());
        }
        assert!(merge(&[], 1.0).is_err());
        assert!(merge(&[&a, &fim([f32::NAN, 0., 0., 0.])], 1.0).is_err());
    }
}
