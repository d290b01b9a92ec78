//! The Fisher information of the layers below the head.

#[cfg(all(test, feature = "burn"))]
mod autograd;
mod closed;
pub(crate) mod job;
pub(crate) mod layers;
pub(crate) mod sensitivity;
mod sums;

#[cfg(test)]
mod tests;
