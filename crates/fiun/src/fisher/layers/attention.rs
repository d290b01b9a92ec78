//! The projections of multi-head attention.

use crate::error::FisherError;
use crate::fisher::layers::linear::Linear;
use crate::fisher::layers::squares::Squares;

/// Multi-head attention of one width, with PyTorch's packed projections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attention {
    /// Channels of queries, keys, values and output.
    pub width: usize,
}

/// What went through an attention layer, each `[samples, positions, width]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionPass<'a> {
    /// What queries, keys and values were projected from.
    pub inputs: [&'a [f32]; 3],
    /// The gradients at the projected queries, keys and values.
    pub deltas: [&'a [f32]; 3],
    /// The heads' results, put together: the input of the output projection.
    pub mixed: &'a [f32],
    /// The gradient at the output.
    pub output: &'a [f32],
}

impl Attention {
    /// The sums of squares of `in_proj_weight` `[3 width, width]`, `in_proj_bias` `[3 width]`,
    /// `out_proj.weight` and `out_proj.bias`. Each projection is a linear layer; the softmax
    /// between them has no parameters.
    ///
    /// # Errors
    /// [`FisherError::Shape`].
    pub fn squares(&self, groups: usize, pass: &AttentionPass<'_>) -> Result<Squares, FisherError> {
        let linear = Linear {
            inputs: self.width,
            outputs: self.width,
        };
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for (input, delta) in pass.inputs.iter().zip(pass.deltas) {
            for (name, squares) in linear.squares(groups, input, delta)? {
                match name {
                    "weight" => weight.extend(squares),
                    _ => bias.extend(squares),
                }
            }
        }
        let mut all = vec![("in_proj_weight", weight), ("in_proj_bias", bias)];
        for (name, squares) in linear.squares(groups, pass.mixed, pass.output)? {
            let name = match name {
                "weight" => "out_proj.weight",
                _ => "out_proj.bias",
            };
            all.push((name, squares));
        }
        Ok(all)
    }
}
