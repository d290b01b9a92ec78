//! Training of image networks by the engine that evaluates them.

mod loss;
mod noise;
pub(crate) mod optimizer;
mod parameters;
mod step;

pub(super) use noise::ascend;
pub(super) use step::CpuTraining;
