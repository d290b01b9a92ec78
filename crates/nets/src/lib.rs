//! Networks with torchvision's parameter names: forward, features, training, capture.
//!
//! An [`Architecture`] is a small program of layers ([`Op`]) whose parameters are named as
//! torchvision names them. A [`StateDict`] holds its weights on the host, in PyTorch's layout; a
//! [`Network`] is both together on a device. [`train`] makes a new state from an old one,
//! [`capture`] runs the network once and keeps what the Fisher information of the head needs.

mod architecture;
mod array;
mod capture;
mod device;
mod error;
mod init;
mod input;
mod network;
mod op;
mod train;

pub use architecture::{Architecture, Kind};
pub use array::{Array, StateDict, average};
pub use capture::{Capture, capture};
pub use device::Compute;
pub use error::NetError;
pub use init::initial_state;
pub use input::Preprocessing;
pub use network::Network;
pub use op::Op;
pub use train::{
    EpochReport, Optimizer, Schedule, Trained, TrainingConfig, TrainingEvent, TrainingJob, train,
};
