//! The choice of the selection threshold.

pub(crate) mod alpha;
pub(crate) mod head;
pub(crate) mod score;
