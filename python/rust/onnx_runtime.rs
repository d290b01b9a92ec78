//! ONNX Runtime in place of the engine's own, for ONNX graphs.

use std::path::PathBuf;
use std::sync::OnceLock;

use disinherit::nets::OnnxRuntime;
use pyo3::prelude::*;

use crate::errors::refused;

/// What computes the features of ONNX graphs from now on.
static USED: OnceLock<OnnxRuntime> = OnceLock::new();

/// Loads the library, for all that this process does from now on; returns its version.
#[pyfunction]
pub(crate) fn load_onnx_runtime(py: Python<'_>, library: PathBuf) -> PyResult<&'static str> {
    let loaded = py.detach(|| OnnxRuntime::load(&library)).map_err(refused)?;
    Ok(USED.get_or_init(|| loaded).version())
}

/// The one that was loaded.
pub(crate) fn onnx_runtime() -> Option<OnnxRuntime> {
    USED.get().copied()
}
