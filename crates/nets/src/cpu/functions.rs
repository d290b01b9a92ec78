//! Functions of single values, written so that loops over them use the widest registers: those of the standard
//! library are called one value at a time.

/// Added to a number and taken away again, it rounds: beyond it there are no binary places.
const ROUNDING: f32 = 12_582_912.0;

/// `e^x`, within two units of the last place; 0 where that is below the smallest normal number.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LEAST: f32 = -87.3;
    // The logarithm of 2 in two parts, the first with few enough digits for exact multiples.
    const HIGH: f32 = 0.693_359_4;
    const LOW: f32 = -2.121_944_4e-4;
    let inside = x.clamp(LEAST, 88.3);
    let shifted = inside * std::f32::consts::LOG2_E + ROUNDING;
    let powers = shifted - ROUNDING;
    let r = inside - powers * HIGH - powers * LOW;
    let series = 1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0)));
    let fraction = 1.0 + r * (1.0 + r * (0.5 + r * series));
    // The last bits of the rounded sum are the power of two, which goes where a float has its exponent.
    let exponent = shifted.to_bits().wrapping_sub(ROUNDING.to_bits());
    let power = f32::from_bits(exponent.wrapping_add(127) << 23);
    if x < LEAST { 0.0 } else { fraction * power }
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent, within 2e-7.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (1.0 + exp(2.0 * x))
}

/// The error function, within 2e-7, from `e^-x^2`. Source: Abramowitz and Stegun, 7.1.26.
#[inline(always)]
fn erf_with(x: f32, exponential: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let series = t
        * (0.254_829_6
            + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4))));
    (1.0 - series * exponential).copysign(x)
}

/// The Gaussian error linear unit, exact (Hendrycks and Gimpel, arXiv:1606.08415).
#[inline(always)]
pub(crate) fn gelu(x: f32) -> f32 {
    gelu_with_slope(x).0
}

/// [`gelu`] and its slope, which share their exponential.
#[inline(always)]
pub(crate) fn gelu_with_slope(x: f32) -> (f32, f32) {
    // The density of a standard normal distribution at 0.
    const DENSITY: f32 = 0.398_942_3;
    let density = exp(-0.5 * x * x);
    let below = 0.5 * (1.0 + erf_with(x * std::f32::consts::FRAC_1_SQRT_2, density));
    (x * below, below + x * DENSITY * density)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> impl Iterator<Item = f32> {
        (-900..=900).map(|at| at as f32 / 10.0 + 0.013)
    }

    #[test]
    fn the_exponential_is_that_of_the_standard_library() {
        for x in grid().filter(|x| (-87.0..88.0).contains(x)) {
            let wanted = f64::from(x).exp();
            let off = (f64::from(exp(x)) - wanted).abs() / wanted;
            assert!(off < 2.5e-7, "{x}: {off}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!([exp(-1e9), exp(f32::NEG_INFINITY)], [0.0, 0.0]);
        assert!(exp(1e9).is_finite() && exp(f32::NAN).is_nan());
    }

    #[test]
    fn sigmoid_and_tanh_are_those_of_the_standard_library() {
        for x in grid() {
            let x64 = f64::from(x);
            let off = f64::from(tanh(x)) - x64.tanh();
            assert!(off.abs() < 2e-7, "{x}: {off}");
            let off = f64::from(sigmoid(x)) - 1.0 / (1.0 + (-x64).exp());
            assert!(off.abs() < 2e-7, "{x}: {off}");
        }
    }

    /// From PyTorch, in double precision.
    #[test]
    fn gelu_and_its_slope_are_those_of_pytorch() {
        for (x, value, slope) in [
            (1.0f32, 0.841_344_7, 1.083_315_5),
            (-0.5, -0.154_268_77, 0.132_504_88),
            (0.0, 0.0, 0.5),
            (-3.0, -0.004_049_694, -0.011_945_647),
        ] {
            let ours = gelu_with_slope(x);
            assert!((ours.0 - value).abs() < 5e-7 && ours.0 == gelu(x), "{x}");
            assert!((ours.1 - slope).abs() < 5e-7, "{x}");
        }
    }
}
