//! Selection and dampening: the edit that forgets.

use half::{bf16, f16};
use serde::{Deserialize, Serialize};

use crate::FisherError;
use crate::error::{expect_finite, expect_len};

/// A parameter type that can be dampened.
pub trait Scalar: Copy + PartialEq {
    /// The value in single precision.
    fn to_f32(self) -> f32;
    /// The nearest value of this type.
    fn from_f32(value: f32) -> Self;
}

impl Scalar for f32 {
    fn to_f32(self) -> f32 {
        self
    }
    fn from_f32(value: f32) -> Self {
        value
    }
}

impl Scalar for f16 {
    fn to_f32(self) -> f32 {
        f16::to_f32(self)
    }
    fn from_f32(value: f32) -> Self {
        f16::from_f32(value)
    }
}

impl Scalar for bf16 {
    fn to_f32(self) -> f32 {
        bf16::to_f32(self)
    }
    fn from_f32(value: f32) -> Self {
        bf16::from_f32(value)
    }
}

/// The two constants of the edit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Dampening {
    alpha: f64,
    lambda: f64,
}

impl Dampening {
    /// Selection threshold `alpha` and dampening constant `lambda`.
    ///
    /// # Errors
    /// [`FisherError::Parameter`] when `alpha` is negative or `lambda` is negative, or either is
    /// not finite.
    pub fn new(alpha: f64, lambda: f64) -> Result<Self, FisherError> {
        for (name, value) in [("alpha", alpha), ("lambda", lambda)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(FisherError::Parameter {
                    name,
                    range: "a finite number of at least 0",
                    value,
                });
            }
        }
        Ok(Self { alpha, lambda })
    }

    /// The selection threshold.
    pub fn alpha(self) -> f64 {
        self.alpha
    }

    /// The dampening constant.
    pub fn lambda(self) -> f64 {
        self.lambda
    }

    /// What a user should know about these values, if anything.
    pub fn warning(self) -> Option<String> {
        (self.alpha < 1.0).then(|| {
            format!(
                "alpha {} is below 1: parameters that matter more to the retained data than to \
                 the forget data are selected too",
                self.alpha
            )
        })
    }

    /// The factor for one parameter, or `None` when it is not selected. A forget value of 0 is
    /// never selected; an own value of 0 under a positive forget value gives factor 0.
    #[inline]
    fn factor(self, forget: f32, own: f32) -> Option<f32> {
        let (forget, own) = (f64::from(forget), f64::from(own));
        (forget > self.alpha * own && forget > 0.0)
            .then(|| (self.lambda * own / forget).min(1.0) as f32)
    }
}

/// What an edit did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    /// Parameters looked at.
    pub parameters: u64,
    /// Parameters selected.
    pub selected: u64,
    /// Parameters whose value changed (a selected zero stays as it is).
    pub changed: u64,
    /// The sum of the factors of the selected ones.
    pub factor_sum: f64,
}

impl Selection {
    /// The selected share, 0 when there are no parameters.
    pub fn share(&self) -> f64 {
        self.selected as f64 / self.parameters.max(1) as f64
    }

    /// The mean factor of the selected parameters, `None` when there are none.
    pub fn mean_factor(&self) -> Option<f64> {
        (self.selected > 0).then(|| self.factor_sum / self.selected as f64)
    }

    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            parameters: self.parameters + other.parameters,
            selected: self.selected + other.selected,
            changed: self.changed + other.changed,
            factor_sum: self.factor_sum + other.factor_sum,
        }
    }
}

/// Selects and dampens the parameters of one tensor in place. Source: Liu et al.,
/// arXiv:2408.08493, Section 4, after SSD (arXiv:2308.07707).
///
/// # Shapes
/// `theta`, `forget` (the merged FIM of the forget data) and `own` (the model's own FIM) have one
/// value for each parameter.
///
/// # Errors
/// [`FisherError`] when the lengths differ or any value is not finite; nothing is changed then.
pub fn dampen<T: Scalar>(
    theta: &mut [T],
    forget: &[f32],
    own: &[f32],
    dampening: Dampening,
) -> Result<Selection, FisherError> {
    expect_len("the forget FIM", forget.len(), theta.len())?;
    expect_len("the model's own FIM", own.len(), theta.len())?;
    expect_finite("the forget FIM", forget)?;
    expect_finite("the model's own FIM", own)?;
    if let Some(index) = theta.iter().position(|value| !value.to_f32().is_finite()) {
        return Err(FisherError::NotFinite {
            what: "the parameter tensor",
            value: theta[index].to_f32(),
            place: format!("index {index}"),
        });
    }
    let mut selection = Selection {
        parameters: theta.len() as u64,
        ..Selection::default()
    };
    for ((value, &f), &o) in theta.iter_mut().zip(forget).zip(own) {
        if let Some(factor) = dampening.factor(f, o) {
            let damped = T::from_f32(value.to_f32() * factor);
            selection.selected += 1;
            selection.changed += u64::from(damped != *value);
            selection.factor_sum += f64::from(factor);
            *value = damped;
        }
    }
    Ok(selection)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn run(theta: f32, forget: f32, own: f32, alpha: f64, lambda: f64) -> f32 {
        let mut values = [theta];
        dampen(
            &mut values,
            &[forget],
            &[own],
            Dampening::new(alpha, lambda).unwrap(),
        )
        .unwrap();
        values[0]
    }

    #[test]
    fn edge_cases() {
        assert_eq!(
            run(2.0, 0.0, 0.0, 10.0, 1.0),
            2.0,
            "F_u = 0 is never selected"
        );
        assert_eq!(run(2.0, 0.0, 0.0, 0.0, 1.0), 2.0, "not even with alpha 0");
        assert_eq!(
            run(2.0, 1e-30, 0.0, 10.0, 1.0),
            0.0,
            "F_v = 0 gives factor 0"
        );
        assert_eq!(
            run(2.0, 10.0, 1.0, 10.0, 1.0),
            2.0,
            "the comparison is strict"
        );
        assert_eq!(run(2.0, 16.0, 1.0, 10.0, 1.0), 0.125);
        assert_eq!(
            run(2.0, 16.0, 1.0, 10.0, 100.0),
            2.0,
            "a factor is at most 1"
        );
        assert_eq!(
            run(2.0, 1.0, 2.0, 0.25, 1.0),
            2.0,
            "alpha below 1 selects, min keeps"
        );
        assert_eq!(
            run(2.0, 3e38, 3e37, 9.0, 1.0),
            0.2,
            "no overflow near f32's limit"
        );
        assert!(Dampening::new(0.5, 1.0).unwrap().warning().is_some());
        assert!(Dampening::new(10.0, 1.0).unwrap().warning().is_none());
        for (alpha, lambda) in [
            (-1.0, 1.0),
            (1.0, -1.0),
            (f64::NAN, 1.0),
            (1.0, f64::INFINITY),
        ] {
            assert!(Dampening::new(alpha, lambda).is_err());
        }
    }

    #[test]
    fn bad_numbers_change_nothing() {
        let dampening = Dampening::new(1.0, 1.0).unwrap();
        let mut theta = [1.0f32, 2.0];
        assert!(dampen(&mut theta, &[9.0, f32::NAN], &[1.0, 1.0], dampening).is_err());
        assert!(dampen(&mut theta, &[9.0, 9.0], &[1.0, f32::INFINITY], dampening).is_err());
        assert!(dampen(&mut theta, &[9.0], &[1.0, 1.0], dampening).is_err());
        assert_eq!(theta, [1.0, 2.0]);
        let mut bad = [1.0f32, f32::NAN];
        let refused = dampen(&mut bad, &[9.0, 9.0], &[1.0, 1.0], dampening).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the parameter tensor holds NaN at index 1"
        );
        assert_eq!(bad[0], 1.0);
    }

    proptest! {
        #[test]
        fn the_formula_in_every_precision(
            cells in proptest::collection::vec((-8f32..8.0, 0f32..4.0, 0f32..4.0), 1..64),
            alpha in 0f64..8.0,
            lambda in 0f64..3.0,
        ) {
            let dampening = Dampening::new(alpha, lambda).unwrap();
            let forget: Vec<f32> = cells.iter().map(|c| c.1).collect();
            let own: Vec<f32> = cells.iter().map(|c| c.2).collect();
            let mut single: Vec<f32> = cells.iter().map(|c| c.0).collect();
            let mut short: Vec<f16> = single.iter().map(|v| f16::from_f32(*v)).collect();
            let mut brain: Vec<bf16> = single.iter().map(|v| bf16::from_f32(*v)).collect();
            let stats = dampen(&mut single, &forget, &own, dampening).unwrap();
            dampen(&mut short, &forget, &own, dampening).unwrap();
            dampen(&mut brain, &forget, &own, dampening).unwrap();
            let mut selected = 0;
            for (i, (theta, f, o)) in cells.iter().enumerate() {
                let (f64_f, f64_o) = (f64::from(*f), f64::from(*o));
                let factor = if f64_f > alpha * f64_o && *f > 0.0 {
                    selected += 1;
                    (lambda * f64_o / f64_f).min(1.0)
                } else {
                    1.0
                };
                let expected = f64::from(*theta) * factor;
                prop_assert!((f64::from(single[i]) - expected).abs() <= 1e-6 * expected.abs());
                prop_assert!((short[i].to_f64() - expected).abs() <= 2e-3 * expected.abs() + 1e-6);
                prop_assert!((brain[i].to_f64() - expected).abs() <= 2e-2 * expected.abs() + 1e-30);
            }
            prop_assert_eq!(stats.selected, selected);
            prop_assert_eq!(stats.parameters, cells.len() as u64);
        }
    }
}
