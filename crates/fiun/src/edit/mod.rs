//! Edits of parameters: dampening, and logit suppression for what dampening leaves.

pub(crate) mod dampen;
pub(crate) mod suppression;
