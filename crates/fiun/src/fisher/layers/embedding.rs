//! Embeddings.

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
        let mut sum = vec![0.0f32; self.width];
        let mut places: Vec<usize> = (0..length).collect();
        for (tokens, delta) in input
            .chunks_exact(length)
            .zip(delta.chunks_exact((length * self.width).max(1)))
        {
            // The places of each token beside each other.
            places.sort_unstable_by_key(|place| (tokens[*place], *place));
            for same in places.chunk_by(|a, b| tokens[*a] == tokens[*b]) {
                sum.fill(0.0);
                for place in same {
                    let delta = &delta[place * self.width..][..self.width];
                    sum.iter_mut().zip(delta).for_each(|(s, d)| *s += d);
                }
                let row = tokens[same[0]] as usize * self.width;
                let row = &mut weight[row..][..self.width];
                row.iter_mut().zip(&sum).for_each(|(w, s)| *w += s * s);
            }
        }
        Ok(vec![("weight", weight)])
    }
}
