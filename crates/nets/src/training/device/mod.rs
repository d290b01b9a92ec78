//! Training by burn's automatic differentiation, on burn's devices.

mod noise;
mod odds;
mod optimizer;
mod step;

pub(super) use noise::ascend;
pub(super) use step::DeviceTraining;
