//! The operations that networks are made of: one file for each, with its parameters and their first
//! values, its output's shape, its forward and backward pass and its squared gradients on the CPU,
//! and its forward pass on burn's devices. A new operation is a new file and a line here.

pub(crate) mod initial;
pub(crate) mod operation;

pub(crate) mod adaptive_avg_pool;
pub(crate) mod attention;
pub(crate) mod avg_pool;
pub(crate) mod batch_norm;
pub(crate) mod conv;
pub(crate) mod dense;
pub(crate) mod dropout;
pub(crate) mod embedding;
pub(crate) mod first;
pub(crate) mod flatten;
pub(crate) mod gated_conv;
pub(crate) mod gelu;
pub(crate) mod layer_norm;
pub(crate) mod linear;
pub(crate) mod lstm;
pub(crate) mod max_pool;
pub(crate) mod mean_pool;
pub(crate) mod patches;
pub(crate) mod relu;
pub(crate) mod residual;
pub(crate) mod tanh;
pub(crate) mod token_embedding;
