//! Networks with torchvision's parameter names: forward, features, training, capture.
//!
//! An [`Architecture`] is a small program of layers ([`Op`]) whose parameters are named as
//! torchvision names them. A [`StateDict`] holds its weights on the host, in PyTorch's layout; a
//! [`Network`] is both together on a device. [`train`] makes a new state from an old one,
//! [`capture`] runs the network once and keeps what the Fisher information of the head needs;
//! [`inner_fisher`] gives that of the layers below.

mod architecture;
mod array;
mod capture;
mod device;
mod device_network;
mod error;
mod graph;
mod host;
mod init;
mod inner;
mod input;
mod op;
mod shape;
mod train;

pub use architecture::{Architecture, Kind, check_finite};
pub use array::{Array, StateDict, average};
pub use capture::{Capture, Network, capture};
pub use device::Compute;
pub use error::NetError;
pub use graph::{GraphInput, GraphNetwork};
pub use init::initial_state;
pub use inner::{InnerFisher, InnerJob, inner_fisher, inner_tensors};
pub use input::Preprocessing;
pub use op::Op;
pub use shape::{FeatureShape, Input, TextShape};
pub use train::{
    EpochReport, Noise, Optimizer, Phase, Schedule, Source, Teacher, Term, Trained, TrainingConfig,
    TrainingEvent, TrainingJob, TuningJob, error_maximising_noise, loss_gradient, train, tune,
};
