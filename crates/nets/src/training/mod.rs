//! Training: on the CPU by the engine that evaluates networks, on other devices by burn.

mod choose;
pub(crate) mod config;
pub(crate) mod cpu;
#[cfg(feature = "burn")]
mod device;
mod engine;
pub(crate) mod job;
pub(crate) mod make_noise;
pub(crate) mod noise;
mod objective;
pub(crate) mod run;
pub(crate) mod term;
pub(crate) mod turns;
