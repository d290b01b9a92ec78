//! Training, by burn's automatic differentiation.

pub(crate) mod config;
pub(crate) mod job;
pub(crate) mod noise;
pub(crate) mod objective;
pub(crate) mod odds;
pub(crate) mod run;
mod turns;
