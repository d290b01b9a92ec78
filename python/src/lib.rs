//! The engine for Python. What crosses the border is arrays, and JSON for everything else; the
//! package's Python files make it pleasant.

mod data_sets;
mod layers;
mod model;
mod progress;
mod registry;
mod runner;

use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

create_exception!(
    disinherit,
    DisinheritError,
    PyException,
    "What disinherit refuses, or what failed, in words."
);

/// A failure as a Python exception, with the same text.
fn raised(error: impl std::fmt::Display) -> PyErr {
    DisinheritError::new_err(error.to_string())
}

/// The compiled half of the package.
#[pymodule]
fn _disinherit(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("DisinheritError", module.py().get_type::<DisinheritError>())?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<registry::Registry>()?;
    module.add_class::<data_sets::Data>()?;
    module.add_function(wrap_pyfunction!(layers::dampen, module)?)?;
    module.add_function(wrap_pyfunction!(layers::head_fisher, module)?)?;
    Ok(())
}
