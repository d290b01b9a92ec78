//! The penultimate layer: the last layer of weights before the head, which writes the features. What
//! it reads and what its output becomes part of, for some samples, and the features that changed
//! outputs lead to.

pub(crate) mod above;
pub(crate) mod activations;
pub(crate) mod agreement;
pub(crate) mod described;
pub(crate) mod entrances;
pub(crate) mod find;
pub(crate) mod network;
pub(crate) mod tensors;
