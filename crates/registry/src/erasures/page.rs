//! Lists of erasure requests, page by page.

use crate::erasures::state::ErasureState;
use crate::ids::ErasureId;

/// Which requests, in which order, and how many.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErasurePage {
    /// The request after which it starts; at the beginning when not given.
    pub after: Option<ErasureId>,
    /// How many requests at most.
    pub limit: u32,
    /// Only requests in one of these states; in any when empty.
    pub states: Vec<ErasureState>,
    /// Only open requests whose deadline is before this time, in milliseconds since 1970-01-01 UTC.
    pub due_before: Option<u64>,
    /// In which order.
    pub order: ErasureOrder,
}

/// The order of a list of requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ErasureOrder {
    /// By deadline, the next one first.
    #[default]
    Deadline,
    /// By number, the newest first.
    Newest,
}
