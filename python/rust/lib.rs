//! The engine for Python. What crosses the border is arrays, arguments as dataclasses, and results as
//! dataclasses; the package's Python files make it pleasant.

mod arguments;
mod cards;
mod certificates;
mod data_sets;
mod desk;
mod engine;
mod errors;
mod issued;
mod jobs;
mod layers;
mod logging;
mod onnx_runtime;
mod penultimate;
mod progress;
mod registry;
mod results;
mod runner;
mod tensors;
mod umig;
mod workers;

use pyo3::prelude::*;

/// The compiled half of the package.
#[pymodule]
fn _disinherit(module: &Bound<'_, PyModule>) -> PyResult<()> {
    errors::add_to(module)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<registry::Registry>()?;
    module.add_class::<data_sets::Data>()?;
    module.add_class::<desk::Desk>()?;
    module.add_class::<umig::Umig>()?;
    module.add_class::<jobs::Worker>()?;
    module.add_class::<jobs::JobWatch>()?;
    module.add_function(wrap_pyfunction!(arguments::reaches_features, module)?)?;
    module.add_function(wrap_pyfunction!(cards::merge_cards, module)?)?;
    module.add_function(wrap_pyfunction!(certificates::new_key, module)?)?;
    module.add_function(wrap_pyfunction!(certificates::sign_model, module)?)?;
    module.add_function(wrap_pyfunction!(certificates::read_certificate, module)?)?;
    module.add_function(wrap_pyfunction!(logging::log_from, module)?)?;
    module.add_function(wrap_pyfunction!(onnx_runtime::load_onnx_runtime, module)?)?;
    module.add_function(wrap_pyfunction!(layers::dampen, module)?)?;
    module.add_function(wrap_pyfunction!(layers::head_fisher, module)?)?;
    module.add_function(wrap_pyfunction!(workers::dispatch_parts, module)?)?;
    module.add_function(wrap_pyfunction!(jobs::shards_of_run, module)?)?;
    module.add_function(wrap_pyfunction!(jobs::run_shard, module)?)?;
    module.add_function(wrap_pyfunction!(jobs::judge_models, module)?)?;
    Ok(())
}
