//! Dense row-major matrices, owned and borrowed.

use crate::error::FisherError;

/// A dense row-major matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    rows: usize,
    cols: usize,
    values: Vec<f32>,
}

impl Matrix {
    /// A matrix of zeros.
    pub fn zeros(rows: usize, cols: usize) -> Self {
        Self {
            rows,
            cols,
            values: vec![0.0; rows * cols],
        }
    }

    /// A matrix from its values, row after row.
    ///
    /// # Errors
    /// [`FisherError::Shape`] when there are not `rows * cols` values.
    pub fn new(rows: usize, cols: usize, values: Vec<f32>) -> Result<Self, FisherError> {
        MatrixRef::new(rows, cols, &values)?;
        Ok(Self { rows, cols, values })
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The values, row after row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The values, row after row, to be changed in place.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// The values, row after row, taken out.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// The same matrix, borrowed.
    pub fn view(&self) -> MatrixRef<'_> {
        MatrixRef {
            rows: self.rows,
            cols: self.cols,
            values: &self.values,
        }
    }

    /// The rows at these indices, in this order.
    ///
    /// # Panics
    /// When an index is not below [`Matrix::rows`].
    pub fn select_rows(&self, indices: &[usize]) -> Self {
        let mut values = Vec::with_capacity(indices.len() * self.cols);
        for &index in indices {
            values.extend_from_slice(self.view().row(index));
        }
        Self {
            rows: indices.len(),
            cols: self.cols,
            values,
        }
    }
}

/// A borrowed dense row-major matrix.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MatrixRef<'a> {
    rows: usize,
    cols: usize,
    values: &'a [f32],
}

impl<'a> MatrixRef<'a> {
    /// A view of `values`, row after row.
    ///
    /// # Errors
    /// [`FisherError::Shape`] when there are not `rows * cols` values.
    pub fn new(rows: usize, cols: usize, values: &'a [f32]) -> Result<Self, FisherError> {
        if rows.checked_mul(cols) != Some(values.len()) {
            return Err(FisherError::Shape {
                what: "the matrix",
                found: format!("{} values", values.len()),
                expected: format!("{rows} x {cols}"),
            });
        }
        Ok(Self { rows, cols, values })
    }

    /// The number of rows.
    pub fn rows(self) -> usize {
        self.rows
    }

    /// The number of columns.
    pub fn cols(self) -> usize {
        self.cols
    }

    /// The values, row after row.
    pub fn values(self) -> &'a [f32] {
        self.values
    }

    /// One row.
    ///
    /// # Panics
    /// When `index` is not below [`MatrixRef::rows`].
    pub fn row(self, index: usize) -> &'a [f32] {
        &self.values[index * self.cols..(index + 1) * self.cols]
    }
}

/// The place of the first largest entry, 0 for an empty row: the prediction that a row of logits
/// stands for.
pub fn argmax(row: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in row.iter().enumerate() {
        if *value > row[best] {
            best = index;
        }
    }
    best
}
