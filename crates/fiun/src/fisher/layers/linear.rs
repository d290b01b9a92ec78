//! Linear layers, on vectors and on sequences.

use crate::error::{FisherError, expect_len};
use crate::fisher::layers::outer::outer_squares;
use crate::fisher::layers::squares::{Squares, column_squares, rows_per_group};

/// `z = W x + b` at every position. The gradient of a sample is the sum over its positions of
/// `delta xᵀ`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Linear {
    /// Values in.
    pub inputs: usize,
    /// Values out.
    pub outputs: usize,
}

impl Linear {
    /// The sums of squares of `weight` `[outputs, inputs]` and `bias` `[outputs]`.
    ///
    /// # Shapes
    /// - `input`: `[positions of all groups, inputs]`; `delta`: `[the same, outputs]`
    ///
    /// # Errors
    /// [`FisherError::Shape`].
    pub fn squares(
        &self,
        groups: usize,
        input: &[f32],
        delta: &[f32],
    ) -> Result<Squares, FisherError> {
        let rows = rows_per_group("the input", input, self.inputs, groups)?;
        expect_len("delta", delta.len(), groups * rows * self.outputs)?;
        let weight = outer_squares(input, self.inputs, delta, self.outputs, rows)?;
        Ok(vec![
            ("weight", weight),
            ("bias", column_squares(delta, self.outputs, rows)),
        ])
    }
}
