//! The catalog: which models exist, who inherited from whom, what was done when.

pub(crate) mod contract;
pub(crate) mod publication;
pub(crate) mod rows;
pub(crate) mod sql;
