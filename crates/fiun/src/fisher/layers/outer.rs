//! The kernel under most layers: squares of sums of outer products.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::error::FisherError;
use crate::kernel::matrix::Matrix;
use crate::kernel::product::Threads;
use crate::kernel::product::product_of_transpose;

/// Rows of a tile: as many running sums, and as many sums of squares, as registers hold beside the factors.
const ROWS: usize = 6;

/// Strips and lines of a matrix that are packed together.
const STRIPS: usize = 16;
const LINES: usize = 64;

/// Values of a panel's columns that are gone over for every strip of rows; they should stay in the second cache.
const BLOCK: usize = 1 << 16;

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
    let columns = |columns: Range<usize>, width: usize| {
        let mut values = vec![0.0f32; input.len() / inputs * width];
        let lines = input.chunks_exact(inputs);
        for (target, row) in values.chunks_exact_mut(width).zip(lines) {
            copy(&row[columns.clone()], target);
        }
        Columns {
            rows: (0..rows).collect(),
            values,
        }
    };
    let squares = squares_of_columns(inputs, &columns, delta, outputs, rows);
    let mut out = vec![0.0f32; outputs * inputs];
    out.par_chunks_mut(inputs.max(1))
        .enumerate()
        .for_each(|(row, out)| {
            for (columns, values) in squares.row(row) {
                out[columns].copy_from_slice(values);
            }
        });
    Ok(out)
}

/// Some columns of the input, laid out for the kernel.
pub(super) struct Columns {
    /// The rows of every group that they are given for, ascending; in the others they are zero.
    pub(super) rows: Vec<usize>,
    /// `[groups, rows, width]`; columns past the last one are zero.
    pub(super) values: Vec<f32>,
}

/// The same for an input of so many `inputs` that is not written down: `columns` gives some of its columns, at
/// most as many as the width that it is told. In turn no product is made with rows that are zero in all of them.
pub(super) fn squares_of_columns(
    inputs: usize,
    columns: &(dyn Fn(Range<usize>, usize) -> Columns + Sync),
    delta: &[f32],
    outputs: usize,
    rows: usize,
) -> Panels {
    let arch = Arch::new();
    let width = arch.dispatch(Width);
    let strips = packed(delta, outputs);
    let of_panel = |first: usize| {
        let last = (first + width).min(inputs);
        arch.dispatch(Panel {
            columns: columns(first..last, width),
            delta: &strips,
            outputs,
            rows,
            groups: delta.len() / (rows * outputs).max(1),
        })
    };
    let firsts = (0..inputs).into_par_iter().step_by(width);
    Panels {
        inputs,
        width,
        values: firsts.map(of_panel).collect(),
    }
}

/// Sums of squares, panel by panel.
pub(super) struct Panels {
    inputs: usize,
    /// Columns of a panel.
    width: usize,
    /// Of each panel `[rows, width]`.
    values: Vec<Vec<f32>>,
}

impl Panels {
    /// One row of the result: columns and their values.
    pub(super) fn row(&self, row: usize) -> impl Iterator<Item = (Range<usize>, &[f32])> {
        self.values.iter().enumerate().map(move |(number, values)| {
            let first = number * self.width;
            let columns = first..(first + self.width).min(self.inputs);
            let values = &values[row * self.width..][..columns.len()];
            (columns, values)
        })
    }
}

/// The columns in strips of [`ROWS`], the last one filled up with zeros.
fn packed(delta: &[f32], outputs: usize) -> Vec<f32> {
    let strip = delta.len() / outputs.max(1) * ROWS;
    let mut out = vec![0.0f32; outputs.div_ceil(ROWS) * strip];
    let several = out.par_chunks_mut((strip * STRIPS).max(1)).enumerate();
    several.for_each(|(number, strips)| {
        // A few lines at a time, which stay in the nearest cache until the last strip has its part of them.
        for (block, lines) in delta.chunks(LINES * outputs).enumerate() {
            for (at, strip) in strips.chunks_exact_mut(strip).enumerate() {
                let first = (number * STRIPS + at) * ROWS;
                let (targets, _) = strip[block * LINES * ROWS..].as_chunks_mut::<ROWS>();
                for (target, line) in targets.iter_mut().zip(lines.chunks_exact(outputs)) {
                    match line[first..].first_chunk() {
                        Some(values) => *target = *values,
                        None => target[..outputs - first].copy_from_slice(&line[first..]),
                    }
                }
            }
        }
    });
    out
}

/// Copies a few values: a call of the library's function takes as long as the copy.
#[inline(always)]
pub(super) fn copy(from: &[f32], to: &mut [f32]) {
    let (eights, rest) = from.as_chunks::<8>();
    let (targets, last) = to[..from.len()].as_chunks_mut::<8>();
    let pairs = targets.iter_mut().zip(eights);
    pairs.for_each(|(target, values)| *target = *values);
    if !rest.is_empty() {
        last.copy_from_slice(rest);
    }
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

/// As many columns of the result as a tile is wide.
struct Panel<'a> {
    columns: Columns,
    delta: &'a [f32],
    outputs: usize,
    rows: usize,
    groups: usize,
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
        let Columns { rows, values } = &self.columns;
        let width = V * S::F32_LANES;
        let mut out = vec![0.0f32; self.outputs.div_ceil(ROWS) * ROWS * width];
        let (group, group_of_delta) = (rows.len() * width, self.rows * ROWS);
        if group == 0 || self.groups == 0 {
            return out;
        }
        let block = (BLOCK / group).max(1);
        for (number, values) in values.chunks(block * group).enumerate() {
            let strips = self.delta.chunks_exact(self.groups * group_of_delta);
            for (out, strip) in out.chunks_exact_mut(ROWS * width).zip(strips) {
                let strip = &strip[number * block * group_of_delta..];
                let mut squares = [[simd.splat_f32s(0.0); V]; ROWS];
                let groups = values.chunks_exact(group);
                for (input, delta) in groups.zip(strip.chunks_exact(group_of_delta)) {
                    let (delta, _) = delta.as_chunks::<ROWS>();
                    let mut sums = [[simd.splat_f32s(0.0); V]; ROWS];
                    for (x, row) in input.chunks_exact(width).zip(rows) {
                        let (x, _) = S::as_simd_f32s(x);
                        let delta = &delta[*row];
                        for r in 0..ROWS {
                            let d = simd.splat_f32s(delta[r]);
                            for v in 0..V {
                                sums[r][v] = simd.mul_add_e_f32s(d, x[v], sums[r][v]);
                            }
                        }
                    }
                    for r in 0..ROWS {
                        for v in 0..V {
                            squares[r][v] =
                                simd.mul_add_e_f32s(sums[r][v], sums[r][v], squares[r][v]);
                        }
                    }
                }
                for (out, squares) in out.chunks_exact_mut(width).zip(&squares) {
                    let (out, _) = S::as_mut_simd_f32s(out);
                    for (out, squares) in out.iter_mut().zip(squares) {
                        *out = simd.add_f32s(*out, *squares);
                    }
                }
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
