//! Tensors that lie in arrays of Python.

use std::collections::BTreeMap;

use disinherit::formats::{Dtype, FormatError, Tensor, TensorSource};
use numpy::{PyArray1, PyArrayMethods};
use pyo3::prelude::*;

use crate::errors::refused;

/// Tensors in arrays, by name.
pub(crate) struct Arrays(BTreeMap<String, Lent>);

/// One of them: type, shape, bytes.
type Lent = (Dtype, Vec<usize>, Py<PyArray1<u8>>);

/// One as Python gives it: name, type, shape, bytes.
pub(crate) type Given<'py> = (String, String, Vec<usize>, Bound<'py, PyArray1<u8>>);

impl Arrays {
    pub(crate) fn new(tensors: Vec<Given<'_>>) -> PyResult<Self> {
        let tensors = tensors.into_iter().map(|(name, dtype, shape, bytes)| {
            let dtype: Dtype = serde_json::from_value(dtype.into()).map_err(refused)?;
            Ok((name, (dtype, shape, bytes.unbind())))
        });
        Ok(Self(tensors.collect::<PyResult<_>>()?))
    }
}

impl TensorSource for Arrays {
    fn tensors(&self) -> BTreeMap<String, (Dtype, Vec<usize>)> {
        let tensors = self.0.iter();
        tensors
            .map(|(name, (dtype, shape, _))| (name.clone(), (*dtype, shape.clone())))
            .collect()
    }

    fn tensor(&self, name: &str) -> Result<Tensor, FormatError> {
        let refuse = |reason: String| FormatError::Checkpoint {
            path: "a state dict".into(),
            reason,
        };
        let (dtype, shape, array) = self
            .0
            .get(name)
            .ok_or_else(|| refuse(format!("it has no tensor `{name}`")))?;
        let bytes = Python::attach(|py| {
            let array = array.bind(py).readonly();
            array.as_slice().map(<[u8]>::to_vec)
        });
        Ok(Tensor {
            dtype: *dtype,
            shape: shape.clone(),
            bytes: bytes.map_err(|error| refuse(error.to_string()))?,
        })
    }
}

/// The name of an element type, as safetensors has it.
pub(crate) fn dtype_name(dtype: Dtype) -> String {
    dtype.to_string()
}
