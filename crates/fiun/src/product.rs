//! Dense products, on the `gemm` crate.

use gemm::Parallelism;

use crate::{FisherError, Matrix, MatrixRef, error::expect_len};

/// Below this many multiplications the threads cost more than they give.
const PARALLEL_FROM: usize = 1 << 24;

/// `aᵀ b` for `a: [n, m]` and `b: [n, k]`: `[m, k]`.
///
/// # Errors
/// [`FisherError::Shape`] when the row counts differ.
pub fn transpose_product(a: MatrixRef<'_>, b: MatrixRef<'_>) -> Result<Matrix, FisherError> {
    if a.rows() != b.rows() {
        return Err(FisherError::Shape {
            what: "the right factor",
            found: format!("{} rows", b.rows()),
            expected: format!("{}", a.rows()),
        });
    }
    let mut out = Matrix::zeros(a.cols(), b.cols());
    let left = Factor {
        values: a.values(),
        row_stride: 1,
        column_stride: a.cols(),
    };
    let right = Factor {
        values: b.values(),
        row_stride: b.cols(),
        column_stride: 1,
    };
    multiply(&mut out, a.rows(), left, right);
    Ok(out)
}

/// A linear layer on a batch: `features weightᵀ + bias`.
///
/// # Shapes
/// - `features`: `[samples, inputs]`; `weight`: `[outputs, inputs]`; `bias`: `[outputs]`;
///   the result: `[samples, outputs]`
///
/// # Errors
/// [`FisherError::Shape`] when the shapes do not fit.
pub fn linear(
    features: MatrixRef<'_>,
    weight: MatrixRef<'_>,
    bias: &[f32],
) -> Result<Matrix, FisherError> {
    expect_len("the weight's row", weight.cols(), features.cols())?;
    expect_len("the bias", bias.len(), weight.rows())?;
    let mut out = Matrix::zeros(features.rows(), weight.rows());
    let left = Factor {
        values: features.values(),
        row_stride: features.cols(),
        column_stride: 1,
    };
    let right = Factor {
        values: weight.values(),
        row_stride: 1,
        column_stride: weight.cols(),
    };
    multiply(&mut out, features.cols(), left, right);
    for row in out.values_mut().chunks_exact_mut(bias.len().max(1)) {
        row.iter_mut().zip(bias).for_each(|(z, b)| *z += b);
    }
    Ok(out)
}

/// A factor as the product reads it.
struct Factor<'a> {
    values: &'a [f32],
    row_stride: usize,
    column_stride: usize,
}

#[allow(unsafe_code)]
fn multiply(out: &mut Matrix, depth: usize, left: Factor<'_>, right: Factor<'_>) {
    let (rows, cols) = (out.rows(), out.cols());
    if rows == 0 || cols == 0 || depth == 0 {
        return;
    }
    let last = |factor: &Factor<'_>, rows: usize, cols: usize| {
        (rows - 1) * factor.row_stride + (cols - 1) * factor.column_stride
    };
    assert!(last(&left, rows, depth) < left.values.len());
    assert!(last(&right, depth, cols) < right.values.len());
    let parallelism = if rows * cols * depth < PARALLEL_FROM {
        Parallelism::None
    } else {
        Parallelism::Rayon(0)
    };
    // SAFETY: the asserts above keep the last element that the product reads inside each factor,
    // `out` holds `rows * cols` values with row stride `cols`, and it is borrowed mutably.
    unsafe {
        gemm::gemm(
            rows,
            cols,
            depth,
            out.values_mut().as_mut_ptr(),
            1,
            cols as isize,
            false,
            left.values.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.values.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            0.0f32,
            1.0f32,
            false,
            false,
            false,
            parallelism,
        );
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn naive(a: MatrixRef<'_>, b: MatrixRef<'_>) -> Vec<f64> {
        let mut out = vec![0.0; a.cols() * b.cols()];
        for n in 0..a.rows() {
            for (i, x) in a.row(n).iter().enumerate() {
                for (j, y) in b.row(n).iter().enumerate() {
                    out[i * b.cols() + j] += f64::from(*x) * f64::from(*y);
                }
            }
        }
        out
    }

    fn pattern(rows: usize, cols: usize, step: f32) -> Matrix {
        let values = (0..rows * cols).map(|i| (i as f32 * step).sin()).collect();
        Matrix::new(rows, cols, values).unwrap()
    }

    #[test]
    fn products_agree_with_the_naive_ones() {
        for (n, m, k) in [(1, 1, 1), (7, 3, 5), (300, 10, 64), (2000, 100, 128)] {
            let (a, b) = (pattern(n, m, 0.7), pattern(n, k, 0.3));
            let fast = transpose_product(a.view(), b.view()).unwrap();
            for (x, y) in fast.values().iter().zip(naive(a.view(), b.view())) {
                assert!(
                    (f64::from(*x) - y).abs() < 1e-3 * (1.0 + y.abs()),
                    "{x} {y}"
                );
            }
        }
    }

    #[test]
    fn linear_is_features_times_rows_plus_bias() {
        let features = Matrix::new(2, 3, vec![1., 2., 3., 4., 5., 6.]).unwrap();
        let weight = Matrix::new(2, 3, vec![1., 0., -1., 0.5, 0.5, 0.5]).unwrap();
        let out = linear(features.view(), weight.view(), &[10., 20.]).unwrap();
        assert_eq!(out.values(), [8., 23., 8., 27.5]);
        assert!(linear(features.view(), weight.view(), &[1.]).is_err());
    }
}
