//! Networks that come as a graph of operations (ONNX), run as they are up to their heads.

#[cfg(not(feature = "onnx"))]
mod absent;
#[cfg(feature = "onnx")]
mod batches;
#[cfg(feature = "onnx")]
mod cut;
#[cfg(feature = "onnx")]
mod entrance;
#[cfg(feature = "onnx")]
mod known;
#[cfg(feature = "onnx")]
mod onnx;
#[cfg(feature = "onnx")]
mod runtime;

#[cfg(not(feature = "onnx"))]
pub use self::absent::{GraphCut, GraphNetwork, KnownGraph, OnnxRuntime, RuntimeGraph};
#[cfg(feature = "onnx")]
pub use self::cut::GraphCut;
#[cfg(feature = "onnx")]
pub use self::known::KnownGraph;
#[cfg(feature = "onnx")]
pub use self::onnx::GraphNetwork;
#[cfg(feature = "onnx")]
pub use self::runtime::{OnnxRuntime, RuntimeGraph};
