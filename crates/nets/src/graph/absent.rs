//! What stands for graphs in a build without the cargo feature `onnx`: it cannot be made.

use std::convert::Infallible;
use std::path::Path;

use disinherit_data::DataSet;
use disinherit_formats::{GraphInput, GraphLayer, GraphStep};
use fiun::{Correction, Matrix};

use crate::error::NetError;
use crate::penultimate::activations::Activations;
use crate::penultimate::entrances::{Entrances, Positions};
use crate::penultimate::tensors::LayerTensors;
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

/// A graph whose steps the engine for image networks knows; this build cannot run one.
pub struct KnownGraph(Infallible);

impl KnownGraph {
    /// Makes none.
    ///
    /// # Errors
    /// None.
    pub fn new(
        _steps: Vec<GraphStep>,
        _inputs: &[GraphInput],
        _set: &DataSet,
    ) -> Result<Option<Self>, NetError> {
        Ok(None)
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

/// ONNX Runtime; this build cannot use it.
#[derive(Debug, Clone, Copy)]
pub struct OnnxRuntime(Infallible);

impl OnnxRuntime {
    /// Refuses.
    ///
    /// # Errors
    /// [`NetError::NoGraphs`], always.
    pub fn load(_path: &Path) -> Result<Self, NetError> {
        Err(NetError::NoGraphs)
    }

    /// Is never reached: there is no runtime to ask.
    pub fn build(&self) -> &'static str {
        match self.0 {}
    }

    /// Is never reached: there is no runtime to ask.
    pub fn version(&self) -> &'static str {
        match self.0 {}
    }
}

/// A graph with its weights that ONNX Runtime runs; this build cannot make one.
pub struct RuntimeGraph(Infallible);

impl RuntimeGraph {
    /// Is never reached: there is no runtime.
    ///
    /// # Errors
    /// None.
    pub fn new(
        runtime: OnnxRuntime,
        _file: &[u8],
        _inputs: Vec<GraphInput>,
        _output: &str,
    ) -> Result<Self, NetError> {
        match runtime.0 {}
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

/// A graph with its weights, cut at its last layer of weights below the head; this build cannot run one.
pub struct GraphCut(Infallible);

impl GraphCut {
    /// Refuses.
    ///
    /// # Errors
    /// [`NetError::NoGraphs`], always.
    pub fn new(
        _file: Vec<u8>,
        _inputs: Vec<GraphInput>,
        _features: &str,
        _layer: GraphLayer,
    ) -> Result<Self, NetError> {
        Err(NetError::NoGraphs)
    }

    /// Is never reached: there is no graph to call it on.
    pub fn keep(&mut self, _known: &dyn Fn(&str) -> bool) {
        match self.0 {}
    }

    /// Is never reached: there is no graph to call it on.
    ///
    /// # Errors
    /// None.
    pub fn settle(
        &mut self,
        _set: &DataSet,
        _preprocessing: &Preprocessing,
    ) -> Result<(), NetError> {
        match self.0 {}
    }

    /// Is never reached: there is no graph to call it on.
    ///
    /// # Errors
    /// None.
    pub fn settle_as(&mut self, _positions: Option<Positions>) -> Result<(), NetError> {
        match self.0 {}
    }

    /// Is never reached: there is no graph to call it on.
    pub fn has_entrance(&self) -> bool {
        match self.0 {}
    }

    /// Is never reached: there is no graph to call it on.
    ///
    /// # Errors
    /// None.
    pub fn entrances(
        &self,
        _set: &DataSet,
        _preprocessing: &Preprocessing,
        _progress: &mut dyn FnMut(usize),
    ) -> Result<Option<Entrances>, NetError> {
        match self.0 {}
    }

    /// Is never reached: there is no graph to call it on.
    ///
    /// # Errors
    /// None.
    pub fn behind(&self, _entrances: &Entrances) -> Result<Option<Activations>, NetError> {
        match self.0 {}
    }

    /// Is never reached: there is no graph to call it on.
    pub fn follows(&self, _entrances: &Entrances, _seen: &Activations) -> bool {
        match self.0 {}
    }

    /// Is never reached: there is no graph to call it on.
    pub fn tensors(&self) -> &LayerTensors {
        match self.0 {}
    }

    /// Is never reached: there is no graph to call it on.
    pub fn scale(&self) -> &[f32] {
        match self.0 {}
    }

    /// Is never reached: there is no graph to call it on.
    ///
    /// # Errors
    /// None.
    pub fn run(
        &self,
        _set: &DataSet,
        _preprocessing: &Preprocessing,
        _progress: &mut dyn FnMut(usize),
    ) -> Result<Activations, NetError> {
        match self.0 {}
    }

    /// Is never reached: there is no graph to call it on.
    ///
    /// # Errors
    /// None.
    pub fn features(
        &self,
        _activations: &Activations,
        _correction: Option<&Correction>,
    ) -> Result<Matrix, NetError> {
        match self.0 {}
    }
}
