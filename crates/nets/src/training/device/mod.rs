//! Training by burn's automatic differentiation: networks over sequences, and devices of burn's.

mod noise;
mod odds;
mod optimizer;
mod step;

pub(super) use noise::ascend;
pub(super) use step::DeviceTraining;
