#![doc = include_str!("../README.md")]

mod architecture;
mod array;
mod augment;
mod capture;
mod compute;
mod cpu;
#[cfg(feature = "burn")]
mod device;
mod error;
mod fisher;
mod graph;
mod inputs;
mod layer_inputs;
mod ops;
mod penultimate;
mod preprocessing;
mod sign_step;
mod training;

pub use architecture::description::Architecture;
pub use architecture::initial::initial_state;
pub use architecture::input::{FeatureShape, Input, TextShape};
pub use architecture::kind::Kind;
pub use array::{Array, StateDict, add_change, average, check_finite, difference};
pub use augment::Augment;
pub use capture::{Capture, Network, capture};
pub use compute::Compute;
pub use cpu::window::Window;
pub use error::NetError;
pub use fisher::job::{InnerFisher, InnerJob, inner_tensors};
pub use fisher::layers::inner_fisher;
pub use fisher::sensitivity::{SensitivityJob, output_sensitivity};
pub use graph::{GraphCut, GraphNetwork};
pub use layer_inputs::{LayerInputsJob, layer_inputs};
pub use ops::operation::Op;
pub use penultimate::activations::Activations;
pub use penultimate::entrances::Entrances;
pub use penultimate::network::Penultimate;
pub use penultimate::tensors::LayerTensors;
pub use preprocessing::Preprocessing;
pub use sign_step::{SignStepJob, sign_step};
pub use training::config::{Optimizer, Schedule, TrainingConfig};
pub use training::job::{EpochReport, Trained, TrainingEvent, TrainingJob, TuningJob};
pub use training::make_noise::error_maximising_noise;
pub use training::noise::{Noise, NoiseJob};
pub use training::run::{loss_gradient, train, tune};
pub use training::term::{Odds, Phase, Source, Teacher, Term};
