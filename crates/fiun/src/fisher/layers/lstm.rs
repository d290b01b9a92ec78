//! LSTM cells.

use crate::error::FisherError;
use crate::fisher::layers::linear::Linear;
use crate::fisher::layers::squares::Squares;

/// One layer of an LSTM, gates in PyTorch's order (input, forget, cell, output).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lstm {
    /// Values in at each step.
    pub inputs: usize,
    /// The width of the hidden state.
    pub hidden: usize,
}

/// What went through an LSTM layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LstmPass<'a> {
    /// `[samples, steps, inputs]`.
    pub input: &'a [f32],
    /// The hidden state before each step, `[samples, steps, hidden]`.
    pub hidden: &'a [f32],
    /// The gradient at the gates before their nonlinearities, `[samples, steps, 4 hidden]`.
    pub gates: &'a [f32],
}

impl Lstm {
    /// The sums of squares of `weight_ih` `[4 hidden, inputs]`, `weight_hh` `[4 hidden, hidden]`,
    /// `bias_ih` and `bias_hh` `[4 hidden]`. The gates are one linear map of input and hidden
    /// state, the same at every step: a sample's gradient is the sum over its steps.
    ///
    /// # Errors
    /// [`FisherError::Shape`].
    pub fn squares(&self, groups: usize, pass: &LstmPass<'_>) -> Result<Squares, FisherError> {
        let gates = 4 * self.hidden;
        let linear = |inputs| Linear {
            inputs,
            outputs: gates,
        };
        let mut all = linear(self.inputs).squares(groups, pass.input, pass.gates)?;
        all.extend(linear(self.hidden).squares(groups, pass.hidden, pass.gates)?);
        let names = ["weight_ih", "bias_ih", "weight_hh", "bias_hh"];
        for ((name, _), full) in all.iter_mut().zip(names) {
            *name = full;
        }
        Ok(all)
    }
}
