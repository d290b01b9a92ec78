//! Groups of flags that several commands share, each with what the engine takes for it.

pub(crate) mod data;
pub(crate) mod estimator;
pub(crate) mod global;
pub(crate) mod model;
pub(crate) mod network;
pub(crate) mod page;
pub(crate) mod recipe;
pub(crate) mod request;
pub(crate) mod shard;
pub(crate) mod signing;
pub(crate) mod trained;
pub(crate) mod unlearning;
pub(crate) mod values;
pub(crate) mod verdict;
