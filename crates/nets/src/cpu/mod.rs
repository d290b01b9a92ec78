//! The CPU engine for image networks: evaluation, gradients, training.
//!
//! Networks are run with channels last, convolutions as matrix products (`gemm`), batch
//! normalisation folded into them where only the output matters.

pub(crate) mod chunk;
pub(crate) mod convolution;
pub(crate) mod input_rows;
mod kernel_gradient;
pub(crate) mod kernel_layout;
pub(crate) mod layer;
pub(crate) mod maps;
pub(crate) mod network;
pub(crate) mod rows;
mod scratch;
pub(crate) mod weights;
pub(crate) mod window;
