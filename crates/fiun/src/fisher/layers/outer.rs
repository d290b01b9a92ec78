//! The kernel under most layers: squares of sums of outer products.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::error::FisherError;
use crate::kernel::matrix::Matrix;
use crate::kernel::product::Threads;
use crate::kernel::product::product_of_transpose;

/// Rows of a tile: as many running sums as registers hold beside the factors.
const ROWS: usize = 8;

/// `out[c, k] = sum over groups of (sum over the group's rows p of delta[p, c] * input[p, k])²`,
/// `[channels of delta, channels of input]`.
///
/// The gradient of a linear map for one group is a product of depth `rows`; here it is squared and
/// added while it is still in registers, so no group's gradient is ever written down.
pub(super) fn outer_squares(
    input: &[f32],
    inputs: usize,
    delta: &[f32],
    outputs: usize,
    rows: usize,
) -> Result<Vec<f32>, FisherError> {
    if rows == 1 {
        // The square of a product is the product of the squares.
        let squared = |values: &[f32], cols: usize| {
            let squares = values.iter().map(|v| v * v).collect();
            Matrix::new(values.len() / cols.max(1), cols, squares)
        };
        let (delta, input) = (squared(delta, outputs)?, squared(input, inputs)?);
        return product_of_transpose(delta.view(), input.view(), Threads::All)
            .map(Matrix::into_values);
    }
    let delta = packed(delta, outputs);
    let arch = Arch::new();
    let width = arch.dispatch(Width);
    let panels: Vec<Vec<f32>> = (0..inputs)
        .into_par_iter()
        .step_by(width)
        .map(|first| {
            arch.dispatch(Panel {
                input,
                inputs,
                first,
                delta: &delta,
                outputs,
                rows,
            })
        })
        .collect();
    let mut out = vec![0.0f32; outputs * inputs];
    for (panel, first) in panels.iter().zip((0..inputs).step_by(width)) {
        let cols = width.min(inputs - first);
        for (row, values) in panel.chunks_exact(width).take(outputs).enumerate() {
            let start = row * inputs + first;
            out[start..start + cols].copy_from_slice(&values[..cols]);
        }
    }
    Ok(out)
}

/// The columns in strips of [`ROWS`], the last one filled up with zeros.
fn packed(delta: &[f32], outputs: usize) -> Vec<f32> {
    let rows = delta.len() / outputs.max(1);
    let mut out = vec![0.0f32; outputs.div_ceil(ROWS) * rows * ROWS];
    for (strip, out) in out.chunks_exact_mut((rows * ROWS).max(1)).enumerate() {
        let first = strip * ROWS;
        let count = ROWS.min(outputs - first);
        for (target, row) in out.chunks_exact_mut(ROWS).zip(delta.chunks_exact(outputs)) {
            target[..count].copy_from_slice(&row[first..first + count]);
        }
    }
    out
}

/// Asks for the number of columns of a panel.
struct Width;

impl WithSimd for Width {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        if S::REGISTER_COUNT >= 32 {
            2 * S::F32_LANES
        } else {
            S::F32_LANES
        }
    }
}

/// The columns of the result from `first` on, as many as a tile is wide.
struct Panel<'a> {
    input: &'a [f32],
    inputs: usize,
    first: usize,
    delta: &'a [f32],
    outputs: usize,
    rows: usize,
}

impl WithSimd for Panel<'_> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
        if S::REGISTER_COUNT >= 32 {
            self.tiles::<S, 2>(simd)
        } else {
            self.tiles::<S, 1>(simd)
        }
    }
}

impl Panel<'_> {
    #[inline(always)]
    fn tiles<S: Simd, const V: usize>(self, simd: S) -> Vec<f32> {
        let width = V * S::F32_LANES;
        let cols = width.min(self.inputs - self.first);
        let all = self.input.len() / self.inputs;
        let mut panel = vec![0.0f32; all * width];
        for (target, row) in panel
            .chunks_exact_mut(width)
            .zip(self.input.chunks_exact(self.inputs))
        {
            target[..cols].copy_from_slice(&row[self.first..self.first + cols]);
        }
        let mut out = vec![0.0f32; self.outputs.div_ceil(ROWS) * ROWS * width];
        let strips = self.delta.chunks_exact(all * ROWS);
        for (out, strip) in out.chunks_exact_mut(ROWS * width).zip(strips) {
            let mut squares = [[simd.splat_f32s(0.0); V]; ROWS];
            let groups = panel
                .chunks_exact(self.rows * width)
                .zip(strip.chunks_exact(self.rows * ROWS));
            for (input, delta) in groups {
                let mut sums = [[simd.splat_f32s(0.0); V]; ROWS];
                for (x, d) in input.chunks_exact(width).zip(delta.chunks_exact(ROWS)) {
                    let (x, _) = S::as_simd_f32s(x);
                    for r in 0..ROWS {
                        let d = simd.splat_f32s(d[r]);
                        for v in 0..V {
                            sums[r][v] = simd.mul_add_e_f32s(d, x[v], sums[r][v]);
                        }
                    }
                }
                for r in 0..ROWS {
                    for v in 0..V {
                        squares[r][v] = simd.mul_add_e_f32s(sums[r][v], sums[r][v], squares[r][v]);
                    }
                }
            }
            for (out, squares) in out.chunks_exact_mut(width).zip(&squares) {
                let (out, _) = S::as_mut_simd_f32s(out);
                out.copy_from_slice(squares);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn agrees_with_the_plain_loops() {
        for (groups, rows, inputs, outputs) in [
            (1, 1, 1, 1),
            (3, 1, 5, 2),
            (4, 3, 33, 9),
            (2, 7, 70, 17),
            (5, 2, 16, 8),
        ] {
            let value = |i: usize| ((i * 7919) % 23) as f32 / 23.0 - 0.4;
            let input: Vec<f32> = (0..groups * rows * inputs).map(value).collect();
            let delta: Vec<f32> = (0..groups * rows * outputs).map(|i| value(i + 3)).collect();
            let ours = outer_squares(&input, inputs, &delta, outputs, rows).unwrap();
            for c in 0..outputs {
                for k in 0..inputs {
                    let mut expected = 0.0f64;
                    for g in 0..groups {
                        let sum: f64 = (g * rows..(g + 1) * rows)
                            .map(|p| {
                                f64::from(delta[p * outputs + c]) * f64::from(input[p * inputs + k])
                            })
                            .sum();
                        expected += sum * sum;
                    }
                    let ours = f64::from(ours[c * inputs + k]);
                    assert!((ours - expected).abs() < 1e-5, "{ours} {expected}");
                }
            }
        }
    }
}
