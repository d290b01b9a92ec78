//! The Cholesky factorisation of a symmetric positive definite matrix, in blocks on dense products.

use crate::error::{FisherError, expect_len};
use crate::kernel::matrix::{Matrix, MatrixRef};
use crate::kernel::product::{Factor, Product, Threads};

/// Columns factored at a time: what lies outside of the diagonal block is a matrix product.
const BLOCK: usize = 64;

/// `A = L Lᵀ` with a lower triangle `L`.
#[derive(Debug, Clone)]
pub struct Cholesky {
    /// Below and on the diagonal `L`; above it what the matrix held.
    lower: Matrix,
}

impl Cholesky {
    /// Factors a matrix. Only its lower triangle is read.
    ///
    /// # Errors
    /// [`FisherError::Shape`] when it is not square, [`FisherError::Parameter`] when it is not
    /// positive definite in single precision.
    pub fn new(matrix: Matrix) -> Result<Self, FisherError> {
        expect_len("the matrix to factor", matrix.cols(), matrix.rows())?;
        let size = matrix.rows();
        let mut lower = matrix;
        for start in (0..size).step_by(BLOCK) {
            let width = BLOCK.min(size - start);
            subtract_known(&mut lower, start, width)?;
            factor_diagonal(&mut lower, start, width)?;
            solve_below(&mut lower, start, width);
        }
        Ok(Self { lower })
    }

    /// `X` of `A X = B`, for `B: [n, columns]`.
    ///
    /// # Errors
    /// [`FisherError::Shape`] when the number of rows is another.
    pub fn solve(&self, right: MatrixRef<'_>) -> Result<Matrix, FisherError> {
        let size = self.lower.rows();
        let mut x = self.solve_lower(right)?;
        for start in (0..size).step_by(BLOCK).rev() {
            let width = BLOCK.min(size - start);
            self.apply(&mut x, [start, width], start + width..size, true)?;
            for row in (start..start + width).rev() {
                self.eliminate(&mut x, row, row + 1..start + width, true);
            }
        }
        Ok(x)
    }

    /// `X` of `L X = B`, for `B: [n, columns]`: half of [`Cholesky::solve`].
    ///
    /// # Errors
    /// [`FisherError::Shape`] when the number of rows is another.
    pub fn solve_lower(&self, right: MatrixRef<'_>) -> Result<Matrix, FisherError> {
        let (size, cols) = (self.lower.rows(), right.cols());
        expect_len("the right side", right.rows(), size)?;
        let mut x = Matrix::new(size, cols, right.values().to_vec())?;
        for start in (0..size).step_by(BLOCK) {
            let width = BLOCK.min(size - start);
            self.apply(&mut x, [start, width], 0..start, false)?;
            for row in start..start + width {
                self.eliminate(&mut x, row, start..row, false);
            }
        }
        Ok(x)
    }

    /// The triangle `L`, zeros above the diagonal.
    pub fn triangle(&self) -> Matrix {
        let mut triangle = self.lower.clone();
        let size = triangle.cols();
        for (at, value) in triangle.values_mut().iter_mut().enumerate() {
            if at % size > at / size {
                *value = 0.0;
            }
        }
        triangle
    }

    /// Entry of the triangle, or of its transpose.
    fn entry(&self, row: usize, col: usize, transposed: bool) -> f32 {
        let (row, col) = if transposed { (col, row) } else { (row, col) };
        self.lower.values()[row * self.lower.cols() + col]
    }

    /// Takes what the rows `known` of the solution contribute from a block of rows.
    fn apply(
        &self,
        x: &mut Matrix,
        [start, width]: [usize; 2],
        known: std::ops::Range<usize>,
        transposed: bool,
    ) -> Result<(), FisherError> {
        if known.is_empty() {
            return Ok(());
        }
        let (size, cols) = (self.lower.rows(), x.cols());
        let left = if transposed {
            Factor::rows(&self.lower.values()[known.start * size + start..], size).transposed()
        } else {
            Factor::rows(&self.lower.values()[start * size + known.start..], size)
        };
        let mut product = vec![0.0; width * cols];
        Product {
            shape: [width, known.len(), cols],
            left,
            right: Factor::rows(&x.values()[known.start * cols..known.end * cols], cols),
            threads: Threads::All,
        }
        .store(&mut product, cols)?;
        let rows = &mut x.values_mut()[start * cols..(start + width) * cols];
        rows.iter_mut().zip(&product).for_each(|(x, p)| *x -= p);
        Ok(())
    }

    /// One row of the solution, the rows `known` of its block being done.
    fn eliminate(
        &self,
        x: &mut Matrix,
        row: usize,
        known: std::ops::Range<usize>,
        transposed: bool,
    ) {
        let cols = x.cols();
        let diagonal = self.entry(row, row, false);
        for other in known {
            let factor = self.entry(row, other, transposed);
            let (low, high) = (row.min(other), row.max(other));
            let (head, tail) = x.values_mut().split_at_mut(high * cols);
            let (low, high) = (&mut head[low * cols..(low + 1) * cols], &mut tail[..cols]);
            let (target, source) = if row < other {
                (low, high)
            } else {
                (high, low)
            };
            target
                .iter_mut()
                .zip(source.iter())
                .for_each(|(t, s)| *t -= factor * s);
        }
        let target = &mut x.values_mut()[row * cols..(row + 1) * cols];
        target.iter_mut().for_each(|value| *value /= diagonal);
    }
}

/// Takes what the factored columns contribute from a block of columns.
fn subtract_known(lower: &mut Matrix, start: usize, width: usize) -> Result<(), FisherError> {
    if start == 0 {
        return Ok(());
    }
    let size = lower.rows();
    let rows = size - start;
    let mut product = vec![0.0; rows * width];
    let known = Factor::rows(&lower.values()[start * size..], size);
    Product {
        shape: [rows, start, width],
        left: known,
        right: known.transposed(),
        threads: Threads::All,
    }
    .store(&mut product, width)?;
    for (row, part) in product.chunks_exact(width).enumerate() {
        let place = (start + row) * size + start;
        let values = &mut lower.values_mut()[place..place + width];
        values.iter_mut().zip(part).for_each(|(v, p)| *v -= p);
    }
    Ok(())
}

/// Factors a block on the diagonal, in double precision.
fn factor_diagonal(lower: &mut Matrix, start: usize, width: usize) -> Result<(), FisherError> {
    let size = lower.rows();
    for row in start..start + width {
        for col in start..=row {
            let [a, b] = [row, col].map(|r| &lower.values()[r * size + start..r * size + col]);
            let dot: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum();
            let value = f64::from(lower.values()[row * size + col]) - dot;
            let entry = if row == col {
                if !(value > 0.0 && value.is_finite()) {
                    return Err(FisherError::Parameter {
                        name: "the pivot of a Cholesky factorisation",
                        range: "positive (raise the ridge)",
                        value,
                    });
                }
                value.sqrt()
            } else {
                value / f64::from(lower.values()[col * size + col])
            };
            lower.values_mut()[row * size + col] = entry as f32;
        }
    }
    Ok(())
}

/// The rows below a block on the diagonal.
fn solve_below(lower: &mut Matrix, start: usize, width: usize) {
    let size = lower.rows();
    let (done, below) = lower.values_mut().split_at_mut((start + width) * size);
    for row in below.chunks_exact_mut(size) {
        for col in 0..width {
            let known = &done[(start + col) * size + start..][..=col];
            let dot: f32 = row[start..start + col]
                .iter()
                .zip(known)
                .map(|(a, b)| a * b)
                .sum();
            row[start + col] = (row[start + col] - dot) / known[col];
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::kernel::product::transpose_product;

    /// Numbers without a pattern.
    fn numbers(count: usize) -> Vec<f32> {
        (0..count)
            .map(|i| ((i * 7919 + 13) % 1009) as f32 / 1009.0 - 0.5)
            .collect()
    }

    #[test]
    fn a_solution_solves_for_sizes_around_the_block() {
        for size in [1, 2, 63, 64, 65, 150] {
            let a = Matrix::new(size + 20, size, numbers((size + 20) * size)).unwrap();
            let mut gram = transpose_product(a.view(), a.view()).unwrap();
            for at in 0..size {
                gram.values_mut()[at * size + at] += 1.0;
            }
            let x = Matrix::new(size, 3, numbers(size * 3)).unwrap();
            // The matrix is symmetric: its transpose times `x` is the right side.
            let right = transpose_product(gram.view(), x.view()).unwrap();
            let found = Cholesky::new(gram).unwrap().solve(right.view()).unwrap();
            for (found, expected) in found.values().iter().zip(x.values()) {
                assert!(
                    (found - expected).abs() < 1e-3,
                    "{size}: {found} {expected}"
                );
            }
        }
    }

    #[test]
    fn what_is_not_positive_definite_is_refused() {
        let matrix = Matrix::new(2, 2, vec![1.0, 2.0, 2.0, 1.0]).unwrap();
        assert!(Cholesky::new(matrix).is_err());
        let matrix = Matrix::new(1, 1, vec![f32::NAN]).unwrap();
        assert!(Cholesky::new(matrix).is_err());
        assert!(Cholesky::new(Matrix::zeros(2, 3)).is_err());
    }
}
