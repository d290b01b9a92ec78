//! Rows of tables for tokens.

use std::ops::Range;

use fiun::FisherError;
use fiun::layers::Squares;

use super::layer::Gradient;
use super::maps::Maps;

/// A table with a row for each token, `[tokens, width]`.
pub(crate) struct Table {
    pub(crate) values: Vec<f32>,
    pub(crate) width: usize,
}

impl Table {
    /// The rows of some tokens, one after the other; a token that the table lacks has none.
    pub(crate) fn rows(&self, tokens: &Maps) -> Maps {
        let mut rows = vec![0.0; tokens.values.len() * self.width];
        let targets = rows.chunks_exact_mut(self.width.max(1));
        for (target, token) in targets.zip(&tokens.values) {
            if let Some(row) = self.values.get(self.range(*token as usize)) {
                target.copy_from_slice(row);
            }
        }
        tokens.rows(self.width, rows)
    }

    fn range(&self, token: usize) -> Range<usize> {
        token * self.width..(token + 1) * self.width
    }

    /// The sums over groups of its squared gradients, from those at the rows of the tokens.
    ///
    /// # Errors
    /// [`FisherError`] when a token is not in the table.
    pub(crate) fn squares(
        &self,
        groups: usize,
        tokens: &Maps,
        delta: &[f32],
    ) -> Result<Squares, FisherError> {
        let layer = fiun::layers::Embedding {
            tokens: self.values.len() / self.width.max(1),
            width: self.width,
        };
        let tokens: Vec<u32> = tokens.values.iter().map(|token| *token as u32).collect();
        layer.squares(groups, &tokens, delta)
    }

    /// Its gradient, summed over the tokens.
    pub(crate) fn gradient(&self, tokens: &Maps, delta: &[f32]) -> Gradient {
        let mut sums = vec![0.0; self.values.len()];
        let rows = delta.chunks_exact(self.width.max(1));
        for (token, delta) in tokens.values.iter().zip(rows) {
            if let Some(sum) = sums.get_mut(self.range(*token as usize)) {
                sum.iter_mut().zip(delta).for_each(|(s, d)| *s += d);
            }
        }
        Gradient::new("weight", sums)
    }
}

/// A parameter that is added to every sample has the sample's own gradient: the sums over groups of samples of
/// the squares of the sums over the samples of each group.
///
/// # Shapes
/// `delta`: `[samples, values]`; the result: `[values]`.
pub(crate) fn squared_sums(groups: usize, samples: usize, delta: &[f32]) -> Vec<f32> {
    let width = delta.len() / samples.max(1);
    let group = (samples / groups.max(1)).max(1);
    let mut squares = vec![0.0; width];
    for rows in delta.chunks_exact((group * width).max(1)) {
        let sums = summed(width, rows);
        let pairs = squares.iter_mut().zip(&sums);
        pairs.for_each(|(square, sum)| *square += sum * sum);
    }
    squares
}

/// The sums of rows of so many values, column by column.
pub(crate) fn summed(width: usize, rows: &[f32]) -> Vec<f32> {
    let mut sums = vec![0.0; width];
    for row in rows.chunks_exact(width.max(1)) {
        sums.iter_mut()
            .zip(row)
            .for_each(|(sum, value)| *sum += value);
    }
    sums
}
