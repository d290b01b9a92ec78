//! Edits of parameters: dampening, logit suppression for what dampening leaves, and below the head
//! the remapping of features, with the row of the head that goes with it.

pub(crate) mod dampen;
pub(crate) mod head_row;
pub(crate) mod log_odds;
pub(crate) mod low_rank;
pub(crate) mod margins;
pub(crate) mod matching;
pub(crate) mod remap;
pub(crate) mod separation;
pub(crate) mod suppression;
