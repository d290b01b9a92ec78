//! A new model as Python gives it: what is said of it, and its tensors in arrays.

use std::collections::BTreeMap;
use std::path::PathBuf;

use disinherit::{AddModel, NewNetwork};
use disinherit_formats::{Dtype, FormatError, Tensor, TensorSource};
use disinherit_nets::{Architecture, Preprocessing};

use numpy::{PyArray1, PyArrayMethods};
use pyo3::prelude::*;
use serde::Deserialize;
use umig::{Relation, SampleSet, Training};

use crate::raised;

/// What Python says of a new model.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Spec {
    pub(crate) name: String,
    #[serde(default)]
    architecture: Option<String>,
    #[serde(default)]
    pub(crate) head: Option<String>,
    #[serde(default)]
    pub(crate) labels: Option<Vec<String>>,
    #[serde(default)]
    input: Option<[usize; 3]>,
    #[serde(default)]
    parents: Vec<(String, Relation)>,
    #[serde(default)]
    trained_on: Vec<TrainedOn>,
    #[serde(default)]
    time: Option<u64>,
    #[serde(default)]
    untied: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TrainedOn {
    data: String,
    #[serde(default)]
    labels: Option<Vec<String>>,
    #[serde(default)]
    samples: Option<Vec<String>>,
    #[serde(default)]
    source: Option<String>,
}

impl Spec {
    pub(crate) fn network(&self) -> PyResult<NewNetwork> {
        let kind = self.architecture.as_deref().map(str::parse).transpose();
        Ok(NewNetwork {
            kind: kind.map_err(raised)?,
            head: self.head.clone(),
            labels: self.labels.clone(),
            images: self
                .input
                .map(|[channels, height, width]| disinherit_data::ImageShape {
                    channels,
                    height,
                    width,
                }),
            vocabulary: disinherit_data::VOCABULARY,
            length: 128,
            untied: self.untied,
        })
    }

    pub(crate) fn model(
        self,
        file: PathBuf,
        architecture: Architecture,
        labels: Vec<String>,
    ) -> AddModel {
        let training = self.trained_on.into_iter().map(|trained| {
            let seen = trained.labels.unwrap_or_else(|| labels.clone());
            let mut training = Training::new(&trained.data, seen);
            training.source = trained.source;
            if let Some(samples) = trained.samples {
                training.samples = SampleSet::Listed(samples.into_iter().collect());
            }
            training
        });
        AddModel {
            name: self.name,
            file,
            training: training.collect(),
            architecture,
            preprocessing: Preprocessing::default(),
            labels,
            parents: self.parents,
            time: self.time,
            untied: self.untied,
        }
    }
}

/// Tensors that lie in arrays of Python.
pub(crate) struct Arrays(pub(crate) BTreeMap<String, Lent>);

/// One of them: type, shape, bytes.
pub(crate) type Lent = (Dtype, Vec<usize>, Py<PyArray1<u8>>);

/// One as Python gives it: name, type, shape, bytes.
pub(crate) type Given<'py> = (String, String, Vec<usize>, Bound<'py, PyArray1<u8>>);

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
