//! The CPU engine for evaluation and for gradients at activations.
//!
//! Networks are run with channels last, convolutions as matrix products (`gemm`), batch
//! normalisation folded into them where only the output matters. Training stays with burn.

pub(crate) mod chunk;
pub(crate) mod convolution;
pub(crate) mod input_rows;
pub(crate) mod layer;
pub(crate) mod maps;
pub(crate) mod network;
pub(crate) mod weights;
pub(crate) mod window;
