//! Parameter types and their way to single precision and back.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use pulp::Arch;

/// Parameters edited at a time: the working copies of a block stay in the fastest cache.
pub const BLOCK: usize = 1024;

/// Room for the working copies of a block.
pub struct Scratch {
    wide: [f32; BLOCK],
    edited: [f32; BLOCK],
}

impl Default for Scratch {
    fn default() -> Self {
        Self {
            wide: [0.0; BLOCK],
            edited: [0.0; BLOCK],
        }
    }
}

/// A parameter type that can be dampened.
pub trait Scalar: Copy + Send + Sync {
    /// Runs an edit in single precision over at most [`BLOCK`] values: from `values` into `out`,
    /// rounded to nearest.
    fn edit<R>(
        values: &[Self],
        out: &mut [Self],
        scratch: &mut Scratch,
        edit: impl FnOnce(&[f32], &mut [f32]) -> R,
    ) -> R;
    /// The number of values that differ, among at most [`BLOCK`]; `single` of them differed in single
    /// precision.
    fn changed(before: &[Self], after: &[Self], single: u32) -> u32;
}

impl Scalar for f32 {
    #[inline(always)]
    fn edit<R>(
        values: &[Self],
        out: &mut [Self],
        _: &mut Scratch,
        edit: impl FnOnce(&[f32], &mut [f32]) -> R,
    ) -> R {
        edit(values, out)
    }

    #[inline(always)]
    fn changed(_: &[Self], _: &[Self], single: u32) -> u32 {
        single
    }
}

/// The way to single precision and back, compiled with this crate and as it is, not where an edit is made.
trait Half: Sized {
    fn widen(values: &[Self], wide: &mut [f32]);
    fn narrow(values: &[f32], out: &mut [Self]);
}

macro_rules! half_precision {
    ($type:ty) => {
        impl Half for $type {
            fn widen(values: &[Self], wide: &mut [f32]) {
                values.convert_to_f32_slice(wide);
            }

            fn narrow(values: &[f32], out: &mut [Self]) {
                out.convert_from_f32_slice(values);
            }
        }

        impl Scalar for $type {
            #[inline(always)]
            fn edit<R>(
                values: &[Self],
                out: &mut [Self],
                scratch: &mut Scratch,
                edit: impl FnOnce(&[f32], &mut [f32]) -> R,
            ) -> R {
                let wide = &mut scratch.wide[..values.len()];
                let edited = &mut scratch.edited[..values.len()];
                Self::widen(values, wide);
                let result = edit(wide, edited);
                Self::narrow(edited, out);
                result
            }

            fn changed(before: &[Self], after: &[Self], _: u32) -> u32 {
                Arch::new().dispatch(
                    #[inline(always)]
                    || {
                        let pairs = before.iter().zip(after);
                        let differ = pairs.map(|(a, b)| u16::from(a.to_bits() != b.to_bits()));
                        // As wide as the values, so that registers stay full; a block's count fits.
                        u32::from(differ.sum::<u16>())
                    },
                )
            }
        }
    };
}

half_precision!(f16);
half_precision!(bf16);
