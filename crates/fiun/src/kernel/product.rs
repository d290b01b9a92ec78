//! Dense products, on the part of the `gemm` crate for single precision: the rest takes half a minute to
//! compile.

use gemm_common::Parallelism;
use gemm_f32::gemm::f32::get_gemm_fn;

use crate::error::FisherError;
use crate::error::expect_len;
use crate::kernel::matrix::{Matrix, MatrixRef};

/// Below this many multiplications the threads cost more than they give.
const PARALLEL_FROM: usize = 1 << 24;

/// How many threads a product may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// This one: for callers that share out their work themselves.
    One,
    /// Those of the current pool, where the product is large enough to gain from it.
    All,
}

/// `aᵀ b` for `a: [n, m]` and `b: [n, k]`: `[m, k]`.
///
/// # Errors
/// [`FisherError::Shape`] when the row counts differ.
pub fn transpose_product(a: MatrixRef<'_>, b: MatrixRef<'_>) -> Result<Matrix, FisherError> {
    product_of_transpose(a, b, Threads::All)
}

pub(crate) fn product_of_transpose(
    a: MatrixRef<'_>,
    b: MatrixRef<'_>,
    threads: Threads,
) -> Result<Matrix, FisherError> {
    if a.rows() != b.rows() {
        return Err(FisherError::Shape {
            what: "the right factor",
            found: format!("{} rows", b.rows()),
            expected: format!("{}", a.rows()),
        });
    }
    let mut out = Matrix::zeros(a.cols(), b.cols());
    let cols = b.cols();
    let product = Product {
        shape: [a.cols(), a.rows(), b.cols()],
        left: Factor {
            values: a.values(),
            row_stride: 1,
            column_stride: a.cols(),
        },
        right: Factor::rows(b.values(), cols),
        threads,
    };
    product.store(out.values_mut(), cols)?;
    Ok(out)
}

/// `a b` for `a: [n, m]` and `b: [m, k]`: `[n, k]`.
///
/// # Errors
/// [`FisherError::Shape`] when the inner lengths differ.
pub(crate) fn product(a: MatrixRef<'_>, b: MatrixRef<'_>) -> Result<Matrix, FisherError> {
    expect_len("the right factor's column", b.rows(), a.cols())?;
    let mut out = Matrix::zeros(a.rows(), b.cols());
    Product {
        shape: [a.rows(), a.cols(), b.cols()],
        left: Factor::rows(a.values(), a.cols()),
        right: Factor::rows(b.values(), b.cols()),
        threads: Threads::All,
    }
    .store(out.values_mut(), b.cols())?;
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
    let product = Product {
        shape: [features.rows(), features.cols(), weight.rows()],
        left: Factor::rows(features.values(), features.cols()),
        right: Factor {
            values: weight.values(),
            row_stride: 1,
            column_stride: weight.cols(),
        },
        threads: Threads::All,
    };
    product.store(out.values_mut(), weight.rows())?;
    for row in out.values_mut().chunks_exact_mut(bias.len().max(1)) {
        row.iter_mut().zip(bias).for_each(|(z, b)| *z += b);
    }
    Ok(out)
}

/// A factor as a product reads it: entry (i, j) is `values[i * row_stride + j * column_stride]`.
#[derive(Debug, Clone, Copy)]
pub struct Factor<'a> {
    /// The numbers.
    pub values: &'a [f32],
    /// From one row to the next.
    pub row_stride: usize,
    /// From one column to the next.
    pub column_stride: usize,
}

impl<'a> Factor<'a> {
    /// Rows that lie `stride` numbers apart.
    pub fn rows(values: &'a [f32], stride: usize) -> Self {
        Self {
            values,
            row_stride: stride,
            column_stride: 1,
        }
    }

    /// The same numbers with rows and columns exchanged.
    pub fn transposed(self) -> Self {
        Self {
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    fn holds(&self, rows: usize, cols: usize) -> bool {
        let last = (rows - 1)
            .checked_mul(self.row_stride)
            .zip((cols - 1).checked_mul(self.column_stride))
            .and_then(|(a, b)| a.checked_add(b));
        last.is_some_and(|last| last < self.values.len())
    }
}

/// The product of two factors.
#[derive(Debug, Clone, Copy)]
pub struct Product<'a> {
    /// Rows of the left factor, columns of it (rows of the right one), columns of the right one.
    pub shape: [usize; 3],
    /// The left factor.
    pub left: Factor<'a>,
    /// The right factor.
    pub right: Factor<'a>,
    /// How many threads it may use.
    pub threads: Threads,
}

impl Product<'_> {
    /// Writes the product into rows that lie `stride` numbers apart.
    ///
    /// # Errors
    /// [`FisherError::Shape`] when a factor or `out` is too short.
    pub fn store(self, out: &mut [f32], stride: usize) -> Result<(), FisherError> {
        self.run(out, stride, false)
    }

    /// Adds the product to what is there.
    ///
    /// # Errors
    /// As [`Product::store`].
    pub fn add_to(self, out: &mut [f32], stride: usize) -> Result<(), FisherError> {
        self.run(out, stride, true)
    }

    #[allow(unsafe_code)]
    fn run(self, out: &mut [f32], stride: usize, add: bool) -> Result<(), FisherError> {
        let [rows, depth, cols] = self.shape;
        if rows == 0 || cols == 0 {
            return Ok(());
        }
        let target = Factor::rows(out, stride);
        let fits = stride >= cols
            && target.holds(rows, cols)
            && (depth == 0 || (self.left.holds(rows, depth) && self.right.holds(depth, cols)));
        if !fits {
            return Err(FisherError::Shape {
                what: "a factor of a product",
                found: "too few numbers".into(),
                expected: format!("those of {rows} x {depth} times {depth} x {cols}"),
            });
        }
        let size = rows.saturating_mul(cols).saturating_mul(depth);
        let parallelism = match self.threads {
            Threads::All if size >= PARALLEL_FROM => Parallelism::Rayon(0),
            _ => Parallelism::None,
        };
        // The library's kernels prefer results whose columns lie together: of a result in rows that is its
        // transpose, the product of the transposed factors in the other order.
        let swap = stride > 1;
        let (left, right) = match swap {
            true => (self.right.transposed(), self.left.transposed()),
            false => (self.left, self.right),
        };
        let [rows, cols] = if swap { [cols, rows] } else { [rows, cols] };
        let [column_step, row_step] = if swap { [stride, 1] } else { [1, stride] };
        // SAFETY: the check above keeps the last element that the product reads inside each
        // factor and the last that it writes inside `out`, whose rows do not overlap
        // (`stride >= cols`) and which is borrowed mutably.
        unsafe {
            get_gemm_fn()(
                rows,
                cols,
                depth,
                out.as_mut_ptr(),
                column_step as isize,
                row_step as isize,
                add,
                left.values.as_ptr(),
                left.column_stride as isize,
                left.row_stride as isize,
                right.values.as_ptr(),
                right.column_stride as isize,
                right.row_stride as isize,
                1.0f32,
                1.0f32,
                false,
                false,
                false,
                parallelism,
            );
        }
        Ok(())
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

    #[test]
    fn products_refuse_short_factors_and_add() {
        let values = [1.0f32, 2.0, 3.0, 4.0];
        let product = |shape| Product {
            shape,
            left: Factor::rows(&values, 2),
            right: Factor::rows(&values, 2).transposed(),
            threads: Threads::One,
        };
        let mut out = [1.0f32; 4];
        product([2, 2, 2]).add_to(&mut out, 2).unwrap();
        assert_eq!(out, [6.0, 12.0, 12.0, 26.0]);
        product([2, 0, 2]).store(&mut out, 2).unwrap();
        assert_eq!(out, [0.0; 4]);
        for (shape, length, stride) in [
            ([3, 2, 2], 6, 2),
            ([2, 3, 2], 4, 2),
            ([2, 2, 2], 3, 2),
            ([2, 2, 2], 4, 1),
        ] {
            let mut out = vec![0.0; length];
            assert!(product(shape).store(&mut out, stride).is_err(), "{shape:?}");
        }
    }
}
