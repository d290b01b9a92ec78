#![doc = include_str!("../README.md")]

mod architecture;
mod array;
mod capture;
mod compute;
mod cpu;
mod device;
mod error;
mod fisher;
mod graph;
mod inputs;
mod layer_inputs;
mod ops;
mod preprocessing;
mod sign_step;
mod training;

pub use architecture::description::Architecture;
pub use architecture::initial::initial_state;
pub use architecture::input::{FeatureShape, Input, TextShape};
pub use architecture::kind::Kind;
pub use array::{Array, StateDict, average, check_finite};
pub use capture::{Capture, Network, capture};
pub use compute::Compute;
pub use error::NetError;
pub use fisher::job::{InnerFisher, InnerJob, inner_tensors};
pub use fisher::layers::inner_fisher;
pub use fisher::sensitivity::{SensitivityJob, output_sensitivity};
pub use graph::GraphNetwork;
pub use layer_inputs::{LayerInputsJob, layer_inputs};
pub use ops::operation::Op;
pub use preprocessing::Preprocessing;
pub use sign_step::{SignStepJob, sign_step};
pub use training::config::{Optimizer, Schedule, TrainingConfig};
pub use training::job::{EpochReport, Trained, TrainingEvent, TrainingJob, TuningJob};
pub use training::noise::{Noise, NoiseJob, error_maximising_noise};
pub use training::objective::{Phase, Source, Teacher, Term};
pub use training::run::{loss_gradient, train, tune};
