//! Matrices, products and number types.

pub(crate) mod cholesky;
pub(crate) mod matrix;
pub(crate) mod product;
pub(crate) mod scalar;
pub(crate) mod sums;
