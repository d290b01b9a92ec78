//! Training by the engine that evaluates networks.

mod loss;
mod noise;
pub(crate) mod optimizer;
mod parameters;
mod step;

pub(super) use noise::ascend;
pub(super) use step::CpuTraining;
