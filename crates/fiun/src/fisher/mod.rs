//! Fisher information: estimators, the head in closed form, inner layers, one tensor, merging.

pub(crate) mod estimator;
pub(crate) mod head;
pub mod layers;
pub(crate) mod merge;
pub(crate) mod precision;
pub(crate) mod residuals;
pub(crate) mod tensor;
