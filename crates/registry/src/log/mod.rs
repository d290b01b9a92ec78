//! The operation log: what was done, in typed records, in entries that are chained by their hashes.

pub(crate) mod chain;
pub(crate) mod entry;
pub(crate) mod inner_edit;
pub(crate) mod loss;
pub(crate) mod matched;
pub(crate) mod method_name;
pub(crate) mod outcome;
pub(crate) mod record;
pub(crate) mod retired;
