//! Per-sample squared gradients of inner layers, one file for each layer type.
//!
//! A layer's FIM needs two things for every sample: what went into the layer, and the gradient of
//! the sample's loss at what came out of it (*delta*). From these, each layer type here gives the
//! sums over samples of its parameters' squared gradients, without keeping any sample's gradient.
//!
//! A *group* is what is squared as one: a sample for the empirical and the true FIM, a batch for
//! the batch FIM. All groups of a call have the same size. Inputs and deltas are row-major with
//! channels last: `[samples, height, width, channels]` for maps, `[samples, positions, channels]`
//! for sequences, `[samples, channels]` for vectors; results have PyTorch's layout.

mod attention;
mod batch_norm;
mod convolution;
mod embedding;
mod layer_norm;
mod linear;
mod lstm;
mod outer;
mod squares;

pub use attention::{Attention, AttentionPass};
pub use batch_norm::BatchNorm;
pub use convolution::Convolution;
pub use embedding::Embedding;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use lstm::{Lstm, LstmPass};
pub use squares::Squares;
