//! Selection and dampening: the edit that forgets.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::FisherError;
use crate::error::expect_len;
use crate::fisher::tensor::FisherTensor;
use crate::kernel::scalar::{BLOCK, Scalar, Scratch};

/// Parameters that make a thread worth its while.
const SHARE: usize = 1 << 16;

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

/// Selects and dampens the parameters of one tensor, from `theta` into `out`. Source: Liu et al.,
/// arXiv:2408.08493, Section 4, after SSD (arXiv:2308.07707).
///
/// A forget value of 0 is never selected; an own value of 0 under a positive forget value gives
/// factor 0.
///
/// # Shapes
/// `theta` and `out` have one value for each parameter of `forget` (the merged FIM of the forget
/// data) and `own` (the model's own FIM), which have the same shape.
///
/// # Errors
/// [`FisherError`] when the lengths differ or a parameter is not finite; `out` is of no use then.
pub fn dampen<T: Scalar>(
    theta: &[T],
    forget: &FisherTensor,
    own: &FisherTensor,
    dampening: Dampening,
    out: &mut [T],
) -> Result<Selection, FisherError> {
    expect_len("the parameter tensor", theta.len(), own.len())?;
    expect_len("the edited tensor", out.len(), own.len())?;
    if forget.shape() != own.shape() {
        return Err(FisherError::Shape {
            what: "the forget FIM",
            found: format!("shape {:?}", forget.shape()),
            expected: format!("{:?}", own.shape()),
        });
    }
    let cols = own.cols();
    if cols == 0 {
        return Ok(Selection::default());
    }
    // Whole rows for each thread, as many as make a share.
    let rows = (SHARE / cols).max(1);
    let parts: Vec<Result<Selection, FisherError>> = theta
        .par_chunks(rows * cols)
        .zip(out.par_chunks_mut(rows * cols))
        .enumerate()
        .map(|(part, (theta, out))| {
            let first = part * rows;
            let mut selection = Selection::default();
            let mut scratch = Scratch::default();
            let lines = theta.chunks_exact(cols).zip(out.chunks_exact_mut(cols));
            for (row, (theta, out)) in (first..).zip(lines) {
                let line = Line {
                    theta,
                    forget: forget.row(row),
                    own: own.row(row),
                    dampening,
                };
                selection = selection.plus(line.edit(out, row * cols, &mut scratch)?);
            }
            Ok(selection)
        })
        .collect();
    parts
        .into_iter()
        .try_fold(Selection::default(), |sum, part| Ok(sum.plus(part?)))
}

/// One row of a tensor.
struct Line<'a, T> {
    theta: &'a [T],
    forget: (&'a [f32], f64),
    own: (&'a [f32], f64),
    dampening: Dampening,
}

impl<T: Scalar> Line<'_, T> {
    fn edit(
        self,
        out: &mut [T],
        first: usize,
        scratch: &mut Scratch,
    ) -> Result<Selection, FisherError> {
        let ((forget, forget_scale), (own, own_scale)) = (self.forget, self.own);
        let mut selection = Selection {
            parameters: self.theta.len() as u64,
            ..Selection::default()
        };
        // Where the forget FIM is 0 throughout, nothing can be selected.
        let ratio = if forget_scale > 0.0 {
            own_scale / forget_scale
        } else {
            f64::INFINITY
        };
        let (alpha, lambda) = (self.dampening.alpha * ratio, self.dampening.lambda * ratio);
        for start in (0..self.theta.len()).step_by(BLOCK) {
            let range = start..(start + BLOCK).min(self.theta.len());
            let theta = &self.theta[range.clone()];
            let (f, o) = (&forget[range.clone()], &own[range.clone()]);
            let out = &mut out[range];
            let counts = T::edit(theta, out, scratch, |theta, out| {
                let block = Block {
                    theta,
                    forget: f,
                    own: o,
                };
                block.edit_on_this_machine(alpha, lambda, out)
            });
            let changed = T::changed(theta, out, counts.changed);
            if !counts.finite {
                return Err(not_finite(theta, first + start));
            }
            selection.selected += u64::from(counts.selected);
            selection.changed += u64::from(changed);
            selection.factor_sum += counts.sum;
        }
        Ok(selection)
    }
}

/// Whether single precision has room for products with values of FIMs in one row, which are below
/// 2: the usual case, and twice as fast.
fn fits_single(value: f64) -> bool {
    value == 0.0 || (1e-15..1e15).contains(&value)
}

fn not_finite<T: Scalar>(theta: &[T], first: usize) -> FisherError {
    let mut found = (0, f32::NAN);
    let mut scratch = Scratch::default();
    T::edit(theta, &mut theta.to_vec(), &mut scratch, |values, _| {
        let index = values.iter().position(|v| !v.is_finite()).unwrap_or(0);
        found = (index, values.get(index).copied().unwrap_or(f32::NAN));
    });
    FisherError::NotFinite {
        what: "the parameter tensor",
        value: found.1,
        place: format!("index {}", first + found.0),
    }
}

/// A few parameters with their FIMs.
struct Block<'a> {
    theta: &'a [f32],
    forget: &'a [f32],
    own: &'a [f32],
}

/// What was done to a block.
struct Counts {
    selected: u32,
    /// Before rounding to the parameters' type.
    changed: u32,
    /// The sum of the factors of the selected.
    sum: f64,
    /// Whether all parameters are finite.
    finite: bool,
}

/// A block on its way through the widest registers that there are.
struct Step<'a> {
    block: Block<'a>,
    alpha: f64,
    lambda: f64,
    out: &'a mut [f32],
}

impl WithSimd for Step<'_> {
    type Output = Counts;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Counts {
        self.block
            .edit(simd, self.alpha, self.lambda as f32, self.out)
    }
}

impl Block<'_> {
    /// Made for no type of parameters in particular, so that it is compiled with this crate, and as this crate is:
    /// what is made for a type is compiled where it is used.
    fn edit_on_this_machine(self, alpha: f64, lambda: f64, out: &mut [f32]) -> Counts {
        if fits_single(alpha) && fits_single(lambda) {
            Arch::new().dispatch(Step {
                block: self,
                alpha,
                lambda,
                out,
            })
        } else {
            self.edit_wide(alpha, lambda, out)
        }
    }

    /// `alpha` and `lambda` have the scales of the two FIMs in them. No value of a FIM is negative,
    /// so what is greater than alpha times the own value is greater than 0.
    #[inline(always)]
    fn edit<S: Simd>(&self, simd: S, alpha: f64, lambda: f32, out: &mut [f32]) -> Counts {
        // Alpha in two parts, so that a close decision is that of double precision.
        let rest = (alpha - f64::from(alpha as f32)) as f32;
        let minus_alpha = simd.splat_f32s(-(alpha as f32));
        let minus_rest = simd.splat_f32s(-rest);
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        let wide_lambda = simd.splat_f32s(lambda);
        let (single, none) = (simd.splat_u32s(1), simd.splat_u32s(0));
        let (mut selected, mut changed, mut factors, mut zeros) = (none, none, zero, zero);
        let (theta, theta_tail) = S::as_simd_f32s(self.theta);
        let (forget, forget_tail) = S::as_simd_f32s(self.forget);
        let (own, own_tail) = S::as_simd_f32s(self.own);
        let (out, out_tail) = S::as_mut_simd_f32s(out);
        for (((out, theta), forget), own) in out.iter_mut().zip(theta).zip(forget).zip(own) {
            let over = simd.mul_add_f32s(minus_alpha, *own, *forget);
            let hit = simd.greater_than_f32s(simd.mul_add_f32s(minus_rest, *own, over), zero);
            let factor = simd.div_f32s(simd.mul_f32s(wide_lambda, *own), *forget);
            let factor = simd.select_f32s(hit, simd.min_f32s(factor, one), one);
            selected = simd.add_u32s(selected, simd.select_u32s(hit, single, none));
            factors = simd.add_f32s(factors, factor);
            // 0 times a number is 0 only if the number is finite.
            zeros = simd.mul_add_e_f32s(*theta, zero, zeros);
            *out = simd.mul_f32s(*theta, factor);
            let same = simd.equal_f32s(*out, *theta);
            changed = simd.add_u32s(changed, simd.select_u32s(same, none, single));
        }
        let sum = |lanes: S::u32s| bytemuck::cast_slice::<_, u32>(&[lanes]).iter().sum();
        let mut counts = Counts {
            selected: sum(selected),
            changed: sum(changed),
            sum: 0.0,
            finite: simd.reduce_sum_f32s(zeros) == 0.0,
        };
        // What is not selected has a factor of 1.
        let others = theta.len() * S::F32_LANES - counts.selected as usize;
        counts.sum = f64::from(simd.reduce_sum_f32s(factors)) - others as f64;
        let tail = Block {
            theta: theta_tail,
            forget: forget_tail,
            own: own_tail,
        };
        let rest = tail.edit_wide(alpha, f64::from(lambda), out_tail);
        Counts {
            selected: counts.selected + rest.selected,
            changed: counts.changed + rest.changed,
            sum: counts.sum.max(0.0) + rest.sum,
            finite: counts.finite && rest.finite,
        }
    }

    /// The same for scales that single precision has no room for.
    fn edit_wide(&self, alpha: f64, lambda: f64, out: &mut [f32]) -> Counts {
        let mut counts = Counts {
            selected: 0,
            changed: 0,
            sum: 0.0,
            finite: true,
        };
        for (index, out) in out.iter_mut().enumerate() {
            let theta = self.theta[index];
            let (forget, own) = (f64::from(self.forget[index]), f64::from(self.own[index]));
            counts.finite &= theta.is_finite();
            // An own value of 0 times an infinite ratio is no number, and no number is selected.
            if forget > alpha * own && forget > 0.0 {
                let factor = (lambda * own / forget).min(1.0);
                counts.selected += 1;
                counts.sum += factor;
                *out = theta * factor as f32;
                counts.changed += u32::from(*out != theta);
            } else {
                *out = theta;
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use half::{bf16, f16};
    use proptest::prelude::*;

    fn run(theta: f32, forget: f32, own: f32, alpha: f64, lambda: f64) -> f32 {
        let fim = |value| FisherTensor::from_values(&[1, 1], &[value]).unwrap();
        let mut out = [0.0];
        let dampening = Dampening::new(alpha, lambda).unwrap();
        dampen(&[theta], &fim(forget), &fim(own), dampening, &mut out).unwrap();
        out[0]
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
    fn bad_numbers_are_named() {
        let dampening = Dampening::new(1.0, 1.0).unwrap();
        let fim = FisherTensor::from_values(&[2], &[9.0, 1.0]).unwrap();
        let mut out = [0.0f32; 2];
        let short = FisherTensor::from_values(&[1], &[9.0]).unwrap();
        assert!(dampen(&[1.0f32, 2.0], &short, &fim, dampening, &mut out).is_err());
        assert!(dampen(&[1.0f32], &fim, &fim, dampening, &mut out).is_err());
        assert!(dampen(&[1.0f32, 2.0], &fim, &fim, dampening, &mut out[..1]).is_err());
        for bad in [f32::NAN, f32::INFINITY] {
            let refused = dampen(&[1.0f32, bad], &fim, &fim, dampening, &mut out).unwrap_err();
            let expected = format!("the parameter tensor holds {bad} at index 1");
            assert_eq!(refused.to_string(), expected);
        }
    }

    #[test]
    fn tiny_values_are_told_apart() {
        // All four products are 0 in single precision.
        let forget = FisherTensor::from_sums(&[2, 2], &[1e-60, 1e-60, 5e-90, 1e-95], 1.0).unwrap();
        let own = FisherTensor::from_sums(&[2, 2], &[1e-62, 1e-60, 1e-90, 1e-90], 1.0).unwrap();
        let mut out = [0.0f32; 4];
        let dampening = Dampening::new(4.0, 1.0).unwrap();
        let done = dampen(&[1.0f32; 4], &forget, &own, dampening, &mut out).unwrap();
        assert_eq!(done.selected, 2);
        assert!(
            (out[0] - 0.01).abs() < 1e-6 && (out[2] - 0.2).abs() < 1e-6,
            "{out:?}"
        );
        assert_eq!((out[1], out[3]), (1.0, 1.0));
    }

    proptest! {
        #[test]
        fn the_formula_in_every_precision(
            cells in proptest::collection::vec((-8f32..8.0, 0f32..4.0, 0f32..4.0), 1..2100),
            alpha in 0f64..8.0,
            lambda in 0f64..3.0,
        ) {
            let dampening = Dampening::new(alpha, lambda).unwrap();
            let forget: Vec<f32> = cells.iter().map(|c| c.1).collect();
            let own: Vec<f32> = cells.iter().map(|c| c.2).collect();
            let theta: Vec<f32> = cells.iter().map(|c| c.0).collect();
            let mut single = theta.clone();
            let mut short: Vec<f16> = theta.iter().map(|v| f16::from_f32(*v)).collect();
            let mut brain: Vec<bf16> = theta.iter().map(|v| bf16::from_f32(*v)).collect();
            let fim = |values: &[f32]| FisherTensor::from_values(&[1, values.len()], values).unwrap();
            let (forget, own) = (fim(&forget), fim(&own));
            let stats = dampen(&theta, &forget, &own, dampening, &mut single).unwrap();
            dampen(&short.clone(), &forget, &own, dampening, &mut short).unwrap();
            dampen(&brain.clone(), &forget, &own, dampening, &mut brain).unwrap();
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
