//! Networks of the user's own, on samples that stay with the user: the engine asks, an object of Python
//! answers (`disinherit.Networks`).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use disinherit::data::DataSet;
use disinherit::fiun::{FisherTensor, Matrix};
use disinherit::nets::{Capture, StateDict};
use disinherit::progress::Stage;
use disinherit::runner::{RunLayer, Runner};
use disinherit::{EngineError, LoadedModel};
use numpy::{
    IntoPyArray, PyArray1, PyArrayMethods, PyReadonlyArray2, PyReadonlyArrayDyn,
    PyUntypedArrayMethods,
};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::{from_python, refused};
use crate::penultimate;

/// Asks an object of Python to run networks.
pub(crate) struct Networks {
    object: Py<PyAny>,
    /// One call at a time: the modules behind it hold one set of weights.
    turn: Mutex<()>,
}

impl Networks {
    pub(crate) fn new(object: Py<PyAny>) -> Self {
        Self {
            object,
            turn: Mutex::default(),
        }
    }

    /// Calls the object.
    fn ask<T>(
        &self,
        model: &LoadedModel,
        call: impl FnOnce(Python<'_>, &Bound<'_, PyAny>) -> PyResult<T>,
    ) -> Result<T, EngineError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        Python::attach(|py| {
            call(py, self.object.bind(py)).map_err(|error| from_python(py, model.id(), error))
        })
    }
}

/// Weights as a dictionary of arrays.
fn arrays<'py>(
    py: Python<'py>,
    model: &LoadedModel,
    weights: &StateDict,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    // The engine thinks a bias for heads that have none.
    let own = |name: &String| model.manifest.tensors.contains(name);
    for (name, array) in weights.iter().filter(|(name, _)| own(name)) {
        let values = PyArray1::from_slice(py, &array.values);
        dict.set_item(name, values.reshape(array.shape.clone())?)?;
    }
    Ok(dict)
}

/// Rows of a matrix that come batch by batch.
#[derive(Default)]
struct Rows {
    count: usize,
    values: Vec<f32>,
}

impl Rows {
    fn extend(&mut self, batch: &PyReadonlyArray2<'_, f32>) -> PyResult<()> {
        self.values.extend_from_slice(batch.as_slice()?);
        self.count += batch.shape()[0];
        Ok(())
    }

    /// All of them, where there are as many as there are samples.
    fn finish(self, samples: usize) -> Result<Matrix, String> {
        if self.count != samples {
            return Err(format!("are of {} samples, not of {samples}", self.count));
        }
        if let Some(wrong) = self.values.iter().find(|value| !value.is_finite()) {
            return Err(format!("are not all finite: one is {wrong}"));
        }
        let cols = self.values.len() / samples.max(1);
        Matrix::new(samples, cols, self.values).map_err(|error| error.to_string())
    }
}

/// Says what a method must give, where it gave something else.
fn expected<T>(given: PyResult<T>, what: &str) -> PyResult<T> {
    given.map_err(|error| refused(format!("{what} ({error})")))
}

impl Runner for Networks {
    fn inner_tensors(&self, model: &LoadedModel) -> Result<Vec<String>, EngineError> {
        self.ask(model, |_, object| {
            let said = (model.id().name(), &model.manifest.head);
            object.call_method1("inner_tensors", said)?.extract()
        })
    }

    fn capture(
        &self,
        model: &LoadedModel,
        weights: &StateDict,
        set: &DataSet,
        stage: &dyn Stage,
    ) -> Result<Capture, EngineError> {
        let (mut features, mut logits) = (Rows::default(), Rows::default());
        self.ask(model, |py, object| {
            let said = (
                model.id().name(),
                &model.manifest.head,
                arrays(py, model, weights)?,
                set.ids(),
            );
            for batch in object.call_method1("capture", said)?.try_iter()? {
                let batch = batch?;
                let what = "`capture` must give features and logits of a batch, two matrices of \
                            float32 in the order of C";
                let pair =
                    batch.extract::<(PyReadonlyArray2<'_, f32>, PyReadonlyArray2<'_, f32>)>();
                let (h, z) = expected(pair, what)?;
                expected(features.extend(&h), what)?;
                expected(logits.extend(&z), what)?;
                stage.advance(h.shape()[0] as u64);
            }
            Ok(())
        })?;
        let matrix = |what: &str, rows: Rows| {
            rows.finish(set.len())
                .map_err(|reason| EngineError::NotRunnable {
                    model: model.id().clone(),
                    reason: format!("its {what} {reason}"),
                })
        };
        Ok(Capture {
            features: matrix("features", features)?,
            logits: matrix("logits", logits)?,
        })
    }

    fn inner_fisher(
        &self,
        model: &LoadedModel,
        weights: &StateDict,
        set: &DataSet,
        residuals: &Matrix,
        wanted: &[String],
        stage: &dyn Stage,
    ) -> Result<BTreeMap<String, FisherTensor>, EngineError> {
        let samples = set.len().max(1) as f64;
        self.ask(model, |py, object| {
            let flat = residuals.values().to_vec().into_pyarray(py);
            let said = (
                model.id().name(),
                &model.manifest.head,
                arrays(py, model, weights)?,
                set.ids(),
                flat.reshape([residuals.rows(), residuals.cols()])?,
                wanted,
            );
            let mut tensors = BTreeMap::new();
            for step in object.call_method1("inner_squares", said)?.try_iter()? {
                let step = step?;
                if let Ok(count) = step.extract::<u64>() {
                    stage.advance(count);
                    continue;
                }
                let what = "`inner_squares` must give numbers of samples, and names with sums of \
                            squares, arrays of float64 in the order of C";
                let pair = step.extract::<(String, PyReadonlyArrayDyn<'_, f64>)>();
                let (name, sums) = expected(pair, what)?;
                let values = expected(sums.as_slice().map_err(PyErr::from), what)?;
                let own = model.manifest.tensors.get(&name);
                let own = own.map(|tensor| &tensor.shape[..]);
                if own != Some(sums.shape()) {
                    let shape = own.map_or("no such tensor".into(), |shape| format!("{shape:?}"));
                    return Err(refused(format!(
                        "the sums of `{name}` are {:?}, the model has {shape}",
                        sums.shape()
                    )));
                }
                let fisher = FisherTensor::from_sums(sums.shape(), values, 1.0 / samples);
                tensors.insert(name, fisher.map_err(refused)?);
            }
            match wanted.iter().find(|name| !tensors.contains_key(*name)) {
                Some(name) => Err(refused(format!(
                    "`inner_squares` gave no sums for `{name}`"
                ))),
                None => Ok(tensors),
            }
        })
    }

    fn penultimate(
        &self,
        model: &LoadedModel,
        weights: &StateDict,
        set: &DataSet,
        stage: &dyn Stage,
    ) -> Result<Result<RunLayer, String>, EngineError> {
        self.ask(model, |py, object| {
            if !object.hasattr("penultimate")? {
                return Ok(Err("what runs it does not say what its layers read".into()));
            }
            let said = (
                model.id().name(),
                &model.manifest.head,
                arrays(py, model, weights)?,
                set.ids(),
            );
            let steps = object.call_method1("penultimate", said)?;
            penultimate::read(&steps, set.len(), stage)
        })
    }
}
