//! Embeddings.

use std::collections::BTreeMap;

use crate::error::{FisherError, expect_len};
use crate::fisher::layers::squares::Squares;

/// A table with a row for each token. The gradient of a sample at a token's row is the sum of
/// delta over the places where the token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Embedding {
    /// The number of tokens.
    pub tokens: usize,
    /// The length of a row.
    pub width: usize,
}

impl Embedding {
    /// The sums of squares of `weight` `[tokens, width]`.
    ///
    /// # Shapes
    /// - `input`: the tokens of all groups, one after the other; `delta`: `[the same, width]`
    ///
    /// # Errors
    /// [`FisherError::Shape`], or [`FisherError::Label`] for a token that the table lacks.
    pub fn squares(
        &self,
        groups: usize,
        input: &[u32],
        delta: &[f32],
    ) -> Result<Squares, FisherError> {
        expect_len("delta", delta.len(), input.len() * self.width)?;
        if groups == 0 || !input.len().is_multiple_of(groups) {
            return Err(FisherError::Shape {
                what: "the input",
                found: format!("{} tokens", input.len()),
                expected: format!("the same number in each of {groups} groups"),
            });
        }
        if let Some(place) = input.iter().position(|t| *t as usize >= self.tokens) {
            return Err(FisherError::Label {
                sample: place,
                label: input[place],
                classes: self.tokens,
            });
        }
        let mut weight = vec![0.0f32; self.tokens * self.width];
        let length = (input.len() / groups).max(1);
        for (tokens, delta) in input
            .chunks_exact(length)
            .zip(delta.chunks_exact((length * self.width).max(1)))
        {
            let mut sums: BTreeMap<u32, Vec<f32>> = BTreeMap::new();
            for (token, delta) in tokens.iter().zip(delta.chunks_exact(self.width)) {
                let sum = sums.entry(*token).or_insert_with(|| vec![0.0; self.width]);
                sum.iter_mut().zip(delta).for_each(|(s, d)| *s += d);
            }
            for (token, sum) in sums {
                let row = &mut weight[token as usize * self.width..][..self.width];
                row.iter_mut().zip(&sum).for_each(|(w, s)| *w += s * s);
            }
        }
        Ok(vec![("weight", weight)])
    }
}
