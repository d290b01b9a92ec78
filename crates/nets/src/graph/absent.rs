//! What stands for graphs in a build without the cargo feature `onnx`: it cannot be made.

use std::convert::Infallible;

use disinherit_data::DataSet;
use disinherit_formats::GraphInput;
use fiun::Matrix;

use crate::error::NetError;
use crate::preprocessing::Preprocessing;

/// A graph with its weights; this build cannot run one.
pub struct GraphNetwork(Infallible);

impl GraphNetwork {
    /// Refuses.
    ///
    /// # Errors
    /// [`NetError::NoGraphs`], always.
    pub fn new(_file: Vec<u8>, _inputs: Vec<GraphInput>, _output: &str) -> Result<Self, NetError> {
        Err(NetError::NoGraphs)
    }

    /// Is never reached: there is no graph to call it on.
    ///
    /// # Errors
    /// None.
    pub fn features(
        &self,
        _set: &DataSet,
        _preprocessing: &Preprocessing,
        _progress: &mut dyn FnMut(usize),
    ) -> Result<Matrix, NetError> {
        match self.0 {}
    }
}
