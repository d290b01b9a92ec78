//! The formulas on arrays: the closed-form FIM of a head, and dampening in place.

use disinherit::fiun::{Dampening, Estimator, FisherTensor, MatrixRef, residuals};
use numpy::{
    IntoPyArray, PyArray1, PyArray2, PyArray3, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2,
    PyReadonlyArrayDyn, PyReadwriteArrayDyn, PyUntypedArrayMethods,
};
use pyo3::prelude::*;

use crate::errors::refused;

/// What one class's FIM is: of the weight and of the bias.
type ClassFisher<'py> = (
    Bound<'py, PyArray3<f64>>,
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray1<u64>>,
);

/// The FIM of a linear head for each class of the data: of the weight `[classes, outputs, inputs]`, of
/// the bias `[classes, outputs]`, and the samples of each class.
#[pyfunction]
pub(crate) fn head_fisher<'py>(
    py: Python<'py>,
    features: PyReadonlyArray2<'py, f32>,
    logits: PyReadonlyArray2<'py, f32>,
    labels: PyReadonlyArray1<'py, i64>,
    classes: usize,
) -> PyResult<ClassFisher<'py>> {
    let matrix = |array: &PyReadonlyArray2<'py, f32>| -> PyResult<([usize; 2], Vec<f32>)> {
        let shape = [array.shape()[0], array.shape()[1]];
        Ok((shape, array.as_slice()?.to_vec()))
    };
    let ([rows, inputs], h) = matrix(&features)?;
    let ([_, outputs], z) = matrix(&logits)?;
    let labels = labels
        .as_slice()?
        .iter()
        .map(|label| {
            u32::try_from(*label).map_err(|_| refused(format!("the label {label} is out of range")))
        })
        .collect::<PyResult<Vec<u32>>>()?;
    let fisher = py
        .detach(|| {
            let logits = MatrixRef::new(rows, outputs, &z)?;
            let made = residuals(logits, &labels, Estimator::Empirical)?;
            let features = MatrixRef::new(rows, inputs, &h)?;
            disinherit::fiun::head_fisher(
                features,
                made.view(),
                &labels,
                classes,
                Estimator::Empirical,
            )
        })
        .map_err(refused)?;
    let values = |pick: &dyn Fn(&disinherit::fiun::LayerFisher) -> Vec<f64>| -> Vec<f64> {
        fisher.per_class.iter().flat_map(pick).collect()
    };
    let weight = values(&|layer| layer.weight.entries().collect()).into_pyarray(py);
    let bias = values(&|layer| layer.bias.entries().collect()).into_pyarray(py);
    Ok((
        weight.reshape([classes, outputs, inputs])?,
        bias.reshape([classes, outputs])?,
        fisher.counts.into_pyarray(py),
    ))
}

/// Dampens `values` in place: where `forget` exceeds `alpha` times `own`, by
/// `min(lambda * own / forget, 1)`. Returns how many were selected.
#[pyfunction]
#[pyo3(signature = (values, own, forget, alpha, lambda_=1.0))]
pub(crate) fn dampen<'py>(
    py: Python<'py>,
    mut values: PyReadwriteArrayDyn<'py, f32>,
    own: PyReadonlyArrayDyn<'py, f32>,
    forget: PyReadonlyArrayDyn<'py, f32>,
    alpha: f64,
    lambda_: f64,
) -> PyResult<u64> {
    let dampening = Dampening::new(alpha, lambda_).map_err(refused)?;
    let shape = values.shape().to_vec();
    let tensor = |array: &PyReadonlyArrayDyn<'py, f32>| -> PyResult<FisherTensor> {
        FisherTensor::from_values(array.shape(), array.as_slice()?).map_err(refused)
    };
    let (own, forget) = (tensor(&own)?, tensor(&forget)?);
    if own.shape() != shape {
        return Err(refused(format!(
            "the FIM is of the shape {:?}, the parameters of {shape:?}",
            own.shape()
        )));
    }
    let slice = values.as_slice_mut()?;
    let selection = py
        .detach(|| {
            let before = slice.to_vec();
            disinherit::fiun::dampen(&before, &forget, &own, dampening, slice)
        })
        .map_err(refused)?;
    Ok(selection.selected)
}
