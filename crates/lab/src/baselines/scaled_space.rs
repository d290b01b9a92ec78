//! Products with scaled projections onto the space that rows span.
//!
//! For rows `R` with singular value decomposition `R = V S Uᵀ`, the projection of Kodge et al.
//! (arXiv:2312.00761, Section 4) is `M = U diag(a l / ((a - 1) l + 1)) Uᵀ`, with `l` the shares of the
//! squared singular values in their sum `t`. That is a function of `C = RᵀR / t`, whose eigenvalues the
//! `l` are: `M = a C ((a - 1) C + I)⁻¹`. So no decomposition is needed, but one system of linear
//! equations; with fewer rows than columns, the same in the space of the rows, since
//! `C ((a - 1) C + I)⁻¹ = Rᵀ ((a - 1) R Rᵀ / t + I)⁻¹ R / t`.

use fiun::{Cholesky, Factor, FisherError, Matrix, Product, Threads};

/// A space and its importance, from rows `[rows, width]`.
pub(super) struct Space {
    width: usize,
    /// The smaller one of `RᵀR` and `R Rᵀ`, divided by the sum of its diagonal.
    gram: Matrix,
    /// Where there are fewer rows than columns: the rows, divided by the root of the same sum.
    rows: Option<Matrix>,
}

impl Space {
    /// The space of some rows; of rows of zeros, an empty one.
    ///
    /// # Errors
    /// [`FisherError::Shape`] when a product is refused.
    pub(super) fn new(mut rows: Matrix) -> Result<Self, FisherError> {
        let total: f64 = rows.values().iter().map(|v| f64::from(*v).powi(2)).sum();
        let factor = if total > 0.0 { 1.0 / total.sqrt() } else { 0.0 };
        let scaled = rows.values_mut().iter_mut();
        scaled.for_each(|value| *value = (f64::from(*value) * factor) as f32);
        let (count, width) = (rows.rows(), rows.cols());
        let few = count < width;
        let all = Factor::rows(rows.values(), width);
        let (side, left, right) = if few {
            (count, all, all.transposed())
        } else {
            (width, all.transposed(), all)
        };
        let gram = product([side, count.max(width), side], left, right)?;
        Ok(Self {
            width,
            gram,
            rows: few.then_some(rows),
        })
    }

    /// The projection with a scale of `alpha`, at least 1: the larger, the more of the space counts
    /// in full. Products are in single precision, so that an importance is off by about `alpha`
    /// times 1e-7.
    ///
    /// # Errors
    /// [`FisherError::Parameter`] when the rows were not finite.
    pub(super) fn scaled(&self, alpha: f64) -> Result<Scaled<'_>, FisherError> {
        let mut system = self.gram.clone();
        let side = system.rows();
        for (at, value) in system.values_mut().iter_mut().enumerate() {
            *value *= (alpha - 1.0) as f32;
            if at % (side + 1) == 0 {
                *value += 1.0;
            }
        }
        Ok(Scaled {
            space: self,
            alpha,
            system: Cholesky::new(system)?,
        })
    }
}

/// A projection `M`, ready to be multiplied with.
pub(super) struct Scaled<'a> {
    space: &'a Space,
    alpha: f64,
    /// `(a - 1) C + I`, factored.
    system: Cholesky,
}

impl Scaled<'_> {
    /// `weight M`, for a weight `[outputs, width]`.
    ///
    /// # Errors
    /// [`FisherError::Shape`] when the weight has another width.
    pub(super) fn times(&self, weight: &Matrix) -> Result<Matrix, FisherError> {
        let Space { width, gram, rows } = self.space;
        let (outputs, side) = (weight.rows(), gram.rows());
        if weight.cols() != *width {
            return Err(FisherError::Shape {
                what: "the weight",
                found: format!("rows of {}", weight.cols()),
                expected: format!("{width}"),
            });
        }
        let left = Factor::rows(weight.values(), *width);
        let right = match rows {
            Some(rows) => Factor::rows(rows.values(), *width).transposed(),
            None => Factor::rows(gram.values(), side),
        };
        let mut made = product([outputs, *width, side], left, right)?;
        let alpha = self.alpha as f32;
        made.values_mut()
            .iter_mut()
            .for_each(|value| *value *= alpha);
        // The system is symmetric: rows are solved for as columns.
        let solved = self.system.solve(transposed(&made)?.view())?;
        let made = transposed(&solved)?;
        match rows {
            Some(rows) => product(
                [outputs, side, *width],
                Factor::rows(made.values(), side),
                Factor::rows(rows.values(), *width),
            ),
            None => Ok(made),
        }
    }
}

fn product(shape: [usize; 3], left: Factor<'_>, right: Factor<'_>) -> Result<Matrix, FisherError> {
    let mut out = Matrix::zeros(shape[0], shape[2]);
    let product = Product {
        shape,
        left,
        right,
        threads: Threads::All,
    };
    product.store(out.values_mut(), shape[2])?;
    Ok(out)
}

/// The same with rows and columns exchanged.
fn transposed(matrix: &Matrix) -> Result<Matrix, FisherError> {
    let (rows, cols) = (matrix.rows(), matrix.cols());
    let values = (0..rows * cols).map(|at| matrix.values()[at % rows * cols + at / rows]);
    Matrix::new(cols, rows, values.collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use smartcore::linalg::basic::arrays::{Array, Array2};
    use smartcore::linalg::basic::matrix::DenseMatrix;
    use smartcore::linalg::traits::svd::SVDDecomposable;

    use super::*;

    fn wave(rows: usize, cols: usize, phase: usize) -> Matrix {
        let values = (0..rows * cols).map(|i| (((i + phase) * 7919) % 97) as f32 / 50.0 - 0.9);
        Matrix::new(rows, cols, values.collect()).unwrap()
    }

    /// `weight M` by the definition: a singular value decomposition, and its values scaled.
    fn by_definition(rows: &Matrix, weight: &Matrix, alpha: f64) -> Vec<f64> {
        let line = |m: &Matrix, r: usize| m.view().row(r).iter().map(|v| f64::from(*v)).collect();
        let nested = |m: &Matrix| (0..m.rows()).map(|r| line(m, r)).collect::<Vec<Vec<f64>>>();
        let rows = DenseMatrix::from_2d_vec(&nested(rows)).unwrap();
        // Directions are columns of U for the transposed rows, as in the paper.
        let tall = rows.shape().0 >= rows.shape().1;
        let svd = if tall {
            rows.svd()
        } else {
            rows.transpose().svd()
        }
        .unwrap();
        let directions = if tall { svd.V } else { svd.U };
        let total: f64 = svd.s.iter().map(|s| s * s).sum();
        let mut out = vec![0.0; weight.rows() * weight.cols()];
        for (at, s) in svd.s.iter().enumerate() {
            let share = s * s / total;
            let importance = alpha * share / ((alpha - 1.0) * share + 1.0);
            for (row, out) in nested(weight)
                .iter()
                .zip(out.chunks_exact_mut(weight.cols()))
            {
                let along: f64 = (0..row.len())
                    .map(|i| row[i] * directions.get((i, at)))
                    .sum();
                for (i, out) in out.iter_mut().enumerate() {
                    *out += importance * along * directions.get((i, at));
                }
            }
        }
        out
    }

    #[test]
    fn scaled_projections_are_those_of_the_decomposition() {
        for (rows, width) in [(40, 7), (5, 12), (9, 9), (1, 3)] {
            let (rows, weight) = (wave(rows, width, 3), wave(4, width, 11));
            for alpha in [1.0, 3.0, 100.0, 1000.0] {
                let space = Space::new(rows.clone()).unwrap();
                let ours = space.scaled(alpha).unwrap().times(&weight).unwrap();
                let expected = by_definition(&rows, &weight, alpha);
                for (ours, expected) in ours.values().iter().zip(expected) {
                    let off = (f64::from(*ours) - expected).abs();
                    assert!(off < 1e-4, "{width} {alpha}: {ours} {expected}");
                }
            }
        }
    }

    #[test]
    fn rows_of_zeros_span_nothing_and_others_are_refused() {
        let space = Space::new(Matrix::zeros(3, 5)).unwrap();
        let made = space.scaled(100.0).unwrap().times(&wave(2, 5, 1)).unwrap();
        assert!(made.values().iter().all(|v| *v == 0.0));
        let wrong = wave(2, 4, 1);
        assert!(space.scaled(3.0).unwrap().times(&wrong).is_err());
        let endless = Matrix::new(1, 2, vec![f32::NAN, 1.0]).unwrap();
        assert!(Space::new(endless).unwrap().scaled(3.0).is_err());
    }
}
