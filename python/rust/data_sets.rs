//! Data sets: read by the engine, or features from arrays.

use std::path::PathBuf;

use disinherit::data::{DataSet, FeatureTable, OpenOptions, Samples, Splits};
use disinherit::runner::Runner;
use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;

use crate::errors::{raised, refused};
use crate::runner::Networks;

/// Training and held-out samples.
#[pyclass(frozen, module = "disinherit._disinherit")]
pub(crate) struct Data {
    pub(crate) splits: Splits,
    /// Who runs networks on external samples.
    networks: Option<Networks>,
}

impl Data {
    /// Who runs networks on external samples.
    pub(crate) fn runner(&self) -> Option<&dyn Runner> {
        let networks = self.networks.as_ref()?;
        Some(networks)
    }

    /// Training samples and held-out ones apart; all with ids.
    fn new(
        name: &str,
        samples: Samples,
        labels: &[i64],
        label_names: Vec<String>,
        ids: Option<Vec<String>>,
        heldout: &[bool],
        networks: Option<Networks>,
    ) -> PyResult<Self> {
        if heldout.len() != labels.len() {
            return Err(refused(format!(
                "{} marks of held-out samples for {} labels",
                heldout.len(),
                labels.len()
            )));
        }
        let whole = labels
            .iter()
            .map(|label| {
                u32::try_from(*label)
                    .map_err(|_| refused(format!("the label {label} is out of range")))
            })
            .collect::<PyResult<Vec<u32>>>()?;
        let ids = ids.unwrap_or_else(|| {
            (0..whole.len())
                .map(|row| format!("{name}/{row:06}"))
                .collect()
        });
        let set = DataSet::new(name, samples, whole, label_names, ids).map_err(raised)?;
        let side = |wanted: bool| -> Vec<usize> {
            (0..set.len())
                .filter(|row| heldout[*row] == wanted)
                .collect()
        };
        Ok(Self {
            splits: Splits {
                train: set.select(&side(false)),
                heldout: set.select(&side(true)),
            },
            networks,
        })
    }
}

/// Reads a data set.
fn open_data(
    source: &str,
    size: Option<(usize, usize)>,
    tokenizer: Option<PathBuf>,
) -> PyResult<Splits> {
    let options = OpenOptions {
        size,
        tokenizer,
        ..OpenOptions::default()
    };
    disinherit::data::open(source, &options).map_err(raised)
}

/// One table of features: whose they are, the features, the logits.
type Table<'py> = (
    Vec<String>,
    PyReadonlyArray2<'py, f32>,
    Option<PyReadonlyArray2<'py, f32>>,
);

#[pymethods]
impl Data {
    /// Reads a data set.
    #[staticmethod]
    #[pyo3(signature = (source, size=None, tokenizer=None))]
    fn open(
        py: Python<'_>,
        source: String,
        size: Option<(usize, usize)>,
        tokenizer: Option<PathBuf>,
    ) -> PyResult<Self> {
        let splits = py.detach(|| open_data(&source, size, tokenizer))?;
        Ok(Self {
            splits,
            networks: None,
        })
    }

    /// Features of samples, from arrays.
    #[staticmethod]
    fn from_features(
        name: &str,
        tables: Vec<Table<'_>>,
        labels: PyReadonlyArray1<'_, i64>,
        label_names: Vec<String>,
        ids: Option<Vec<String>>,
        heldout: PyReadonlyArray1<'_, bool>,
    ) -> PyResult<Self> {
        let tables = tables
            .iter()
            .map(|(models, features, logits)| {
                Ok(FeatureTable {
                    models: models.clone(),
                    width: features.shape()[1],
                    values: features.as_slice()?.to_vec(),
                    logits: match logits {
                        Some(logits) => logits.as_slice()?.to_vec(),
                        None => Vec::new(),
                    },
                })
            })
            .collect::<PyResult<Vec<_>>>()?;
        Self::new(
            name,
            Samples::Features(tables),
            labels.as_slice()?,
            label_names,
            ids,
            heldout.as_slice()?,
            None,
        )
    }

    /// Samples that stay with Python, which runs networks on them.
    #[staticmethod]
    fn external(
        name: &str,
        labels: PyReadonlyArray1<'_, i64>,
        label_names: Vec<String>,
        ids: Vec<String>,
        heldout: PyReadonlyArray1<'_, bool>,
        networks: Py<PyAny>,
    ) -> PyResult<Self> {
        Self::new(
            name,
            Samples::External,
            labels.as_slice()?,
            label_names,
            Some(ids),
            heldout.as_slice()?,
            Some(Networks::new(networks)),
        )
    }

    /// The name of the data set.
    #[getter]
    fn name(&self) -> &str {
        self.splits.train.name()
    }

    /// The name of each label.
    #[getter]
    fn label_names(&self) -> Vec<String> {
        self.splits.train.label_names().to_vec()
    }

    /// The ids of the training samples.
    #[getter]
    fn train_ids(&self) -> Vec<String> {
        self.splits.train.ids().to_vec()
    }

    /// The ids of the held-out samples.
    #[getter]
    fn heldout_ids(&self) -> Vec<String> {
        self.splits.heldout.ids().to_vec()
    }

    /// Training and held-out samples.
    fn __len__(&self) -> usize {
        self.splits.train.len() + self.splits.heldout.len()
    }

    fn __repr__(&self) -> String {
        let set = &self.splits.train;
        format!(
            "<disinherit.Data {}: {} training samples, {} held out, {} labels>",
            set.name(),
            set.len(),
            self.splits.heldout.len(),
            set.label_names().len()
        )
    }
}
