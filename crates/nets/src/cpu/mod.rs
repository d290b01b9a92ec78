//! The CPU engine: evaluation, gradients, training.
//!
//! Networks are run with channels last, sequences as columns of positions, convolutions as matrix products (`gemm`), batch
//! normalisation folded into them where only the output matters.

pub(crate) mod attention;
#[cfg(test)]
pub(crate) mod checks;
pub(crate) mod chunk;
pub(crate) mod convolution;
pub(crate) mod dense;
pub(crate) mod functions;
pub(crate) mod gated_conv;
pub(crate) mod input_rows;
mod kernel_gradient;
pub(crate) mod kernel_layout;
pub(crate) mod layer;
pub(crate) mod lstm;
pub(crate) mod maps;
pub(crate) mod network;
pub(crate) mod rows;
mod scratch;
pub(crate) mod table;
pub(crate) mod weights;
pub(crate) mod window;
