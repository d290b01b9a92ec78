//! The plots, one file each.

pub(crate) mod accuracy;
mod axes;
pub(crate) mod cost;
pub(crate) mod inside;
pub(crate) mod layers;
pub(crate) mod search;
