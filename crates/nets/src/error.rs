//! What can be wrong with a network.

use std::path::PathBuf;

use fiun::FisherError;

/// A network that cannot be built, run or trained.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// An architecture that is not known.
    #[error("unknown architecture `{name}`; known are {known}")]
    Architecture {
        /// The name given.
        name: String,
        /// The names known.
        known: String,
    },
    /// An input too small for the architecture.
    #[error("{architecture} needs images of at least {least} pixels a side, not {found}")]
    Input {
        /// The architecture.
        architecture: String,
        /// The smallest side.
        least: usize,
        /// The shape given.
        found: String,
    },
    /// The weights lack a tensor.
    #[error("the weights have no tensor `{name}` (expected {expected})")]
    Missing {
        /// The tensor.
        name: String,
        /// Its shape.
        expected: String,
    },
    /// A tensor of another shape.
    #[error("tensor `{name}` is {found}, the architecture expects {expected}")]
    Shape {
        /// The tensor.
        name: String,
        /// Its shape.
        found: String,
        /// The expected shape.
        expected: String,
    },
    /// A NaN or infinity among the weights.
    #[error("tensor `{name}` holds {value} at index {index}; such weights cannot be used")]
    NotFinite {
        /// The tensor.
        name: String,
        /// The value.
        value: f32,
        /// Where.
        index: usize,
    },
    /// A library that is not ONNX Runtime, or cannot be used.
    #[error("{} cannot be loaded as ONNX Runtime: {reason}", path.display())]
    Runtime {
        /// The library.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Data that the network cannot read.
    #[error("the data does not fit the network: {0}")]
    Data(String),
    /// A training that got out of hand.
    #[error(
        "training diverged in epoch {epoch}: the loss is {loss}; lower the learning rate (now {rate})"
    )]
    Diverged {
        /// The epoch, from 1.
        epoch: usize,
        /// The loss.
        loss: f64,
        /// The learning rate.
        rate: f64,
    },
    /// A training configuration out of range.
    #[error("training cannot start: {0}")]
    Training(String),
    /// A device that this build does not have.
    #[error("unknown device `{name}`; this build has {available}")]
    Device {
        /// The name given.
        name: String,
        /// The devices of this build.
        available: String,
    },
    /// The device failed.
    #[error("the device failed: {0}")]
    Backend(String),
    /// A graph, in a build without the cargo feature `onnx`.
    #[error("this build cannot run ONNX graphs")]
    NoGraphs,
    /// Memory that is too small for the work.
    #[error(
        "{given} bytes of memory do not suffice: the network and its sums take {fixed} bytes, and \
         {samples} samples at a time {activations}"
    )]
    Memory {
        /// What was given, in bytes.
        given: u64,
        /// What weights and sums take.
        fixed: u64,
        /// The least number of samples that can be run at a time.
        samples: usize,
        /// What their activations take.
        activations: u64,
    },
}

/// A refused matrix product or matrix.
pub(crate) fn backend(error: FisherError) -> NetError {
    NetError::Backend(error.to_string())
}
