//! Cards as safetensors files.

use std::collections::{BTreeMap, HashMap};

use disinherit_formats::{Tensor, to_safetensors};
use fiun::{FisherTensor, HeadFisher, LayerFisher};
use safetensors::{Dtype, SafeTensors};

use crate::cards::activations::ActivationStatistics;
use crate::cards::card::FisherCard;
use crate::cards::header::{CardHeader, FORMAT};
use crate::error::RegistryError;

/// The format before row scales and inner layers.
const FORMAT_1: &str = "fim-card/1";

/// What the scales of a tensor are called.
pub(crate) const SCALE: &str = "scale";

/// What the names of inner layers' FIMs start with.
pub(crate) const INNER: &str = "inner/";

impl FisherCard {
    /// The card as a safetensors file.
    ///
    /// # Errors
    /// [`RegistryError::Card`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, RegistryError> {
        let mut tensors = BTreeMap::new();
        put_total(&mut tensors, &self.fisher.total);
        put_classes(&mut tensors, &self.fisher.per_class, &self.fisher.total);
        put_inner(&mut tensors, &self.inner);
        let header = &self.header;
        let mut metadata = HashMap::from([
            ("format".to_owned(), FORMAT.to_owned()),
            ("model".to_owned(), header.model.to_string()),
            ("data".to_owned(), header.data.clone()),
            ("head".to_owned(), header.head.clone()),
            ("estimator".to_owned(), header.estimator.to_string()),
            ("outputs".to_owned(), json(&header.outputs)?),
            ("classes".to_owned(), json(&header.classes)?),
            ("counts".to_owned(), json(&header.counts)?),
            ("layers".to_owned(), json(&header.layers)?),
            ("time".to_owned(), header.time.to_string()),
            ("tool".to_owned(), header.tool.clone()),
        ]);
        if let Some(precision) = &header.precision {
            metadata.insert("precision".to_owned(), json(precision)?);
        }
        if let Some(activations) = &self.activations {
            activations.put(&mut tensors, &mut metadata)?;
        }
        to_safetensors(&tensors, metadata).map_err(RegistryError::Card)
    }

    /// Reads a card and checks that its parts fit together. Cards of the format before
    /// (`fim-card/1`: no scales, no inner layers) are read too.
    ///
    /// # Errors
    /// [`RegistryError::Card`] with the reason.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RegistryError> {
        let (_, meta) =
            SafeTensors::read_metadata(bytes).map_err(|error| refuse(error.to_string()))?;
        let metadata = meta.metadata().clone().unwrap_or_default();
        let text = |key: &str| {
            metadata
                .get(key)
                .cloned()
                .ok_or_else(|| refuse(format!("it does not say its {key}")))
        };
        let format = text("format")?;
        if format != FORMAT && format != FORMAT_1 {
            return Err(refuse(format!(
                "it has format `{format}`, this version reads `{FORMAT}`"
            )));
        }
        let parts = Parts::open(bytes)?;
        let header = CardHeader {
            model: text("model")?.parse()?,
            data: text("data")?,
            head: text("head")?,
            estimator: text("estimator")?.parse().map_err(|_| {
                refuse(format!(
                    "its estimator `{}` is unknown",
                    metadata["estimator"]
                ))
            })?,
            outputs: list("outputs", &text("outputs")?)?,
            classes: list("classes", &text("classes")?)?,
            counts: list("counts", &text("counts")?)?,
            layers: parts.inner_names(),
            precision: match metadata.get("precision") {
                None => None,
                Some(text) => Some(list("precision", text)?),
            },
            time: metadata
                .get("time")
                .and_then(|time| time.parse().ok())
                .unwrap_or(0),
            tool: metadata.get("tool").cloned().unwrap_or_default(),
        };
        let total = parts.total(&header)?;
        let fisher = HeadFisher {
            estimator: header.estimator,
            counts: header.counts.clone(),
            per_class: parts.classes(&header)?,
            total,
        };
        let inner = parts.inner()?;
        let card = Self {
            header,
            fisher,
            inner,
            activations: ActivationStatistics::read(bytes)?,
        };
        card.check()?;
        Ok(card)
    }
}

fn refuse(reason: String) -> RegistryError {
    RegistryError::Card(reason)
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, RegistryError> {
    serde_json::to_string(value).map_err(|error| refuse(error.to_string()))
}

fn list<T: serde::de::DeserializeOwned>(what: &str, text: &str) -> Result<T, RegistryError> {
    serde_json::from_str(text)
        .map_err(|error| refuse(format!("its {what} cannot be read: {error}")))
}

fn put(
    tensors: &mut BTreeMap<String, Tensor>,
    name: &str,
    fisher: &[&FisherTensor],
    front: &[usize],
) {
    let Some(first) = fisher.first() else {
        return;
    };
    let shape = [front, first.shape()].concat();
    let values: Vec<f32> = fisher.iter().flat_map(|f| f.values()).copied().collect();
    tensors.insert(name.to_owned(), Tensor::from_f32(&shape, &values));
    let scales = Tensor {
        dtype: Dtype::F64,
        shape: [front, &[first.rows()]].concat(),
        bytes: fisher
            .iter()
            .flat_map(|f| f.scales())
            .flat_map(|s| s.to_le_bytes())
            .collect(),
    };
    tensors.insert(format!("{name}.{SCALE}"), scales);
}

/// The tensors of the head's total.
pub(crate) fn put_total(tensors: &mut BTreeMap<String, Tensor>, total: &LayerFisher) {
    put(tensors, "weight", &[&total.weight], &[]);
    put(tensors, "bias", &[&total.bias], &[]);
}

/// The tensors of the head's classes.
pub(crate) fn put_classes(
    tensors: &mut BTreeMap<String, Tensor>,
    per_class: &[LayerFisher],
    like: &LayerFisher,
) {
    let front = [per_class.len()];
    let weights: Vec<&FisherTensor> = per_class.iter().map(|c| &c.weight).collect();
    let biases: Vec<&FisherTensor> = per_class.iter().map(|c| &c.bias).collect();
    if per_class.is_empty() {
        let shape = [&front[..], like.weight.shape()].concat();
        tensors.insert("class.weight".into(), Tensor::from_f32(&shape, &[]));
        tensors.insert("class.bias".into(), Tensor::from_f32(&shape[..2], &[]));
        return;
    }
    put(tensors, "class.weight", &weights, &front);
    put(tensors, "class.bias", &biases, &front);
}

/// The tensors of inner layers.
pub(crate) fn put_inner(
    tensors: &mut BTreeMap<String, Tensor>,
    inner: &BTreeMap<String, FisherTensor>,
) {
    for (name, fisher) in inner {
        put(tensors, &format!("{INNER}{name}"), &[fisher], &[]);
    }
}

/// A card's file, or a part of one.
pub(crate) struct Parts<'a> {
    file: SafeTensors<'a>,
}

impl<'a> Parts<'a> {
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self, RegistryError> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| refuse(error.to_string()))?;
        Ok(Self { file })
    }

    pub(crate) fn total(&self, header: &CardHeader) -> Result<LayerFisher, RegistryError> {
        let rows = header.outputs.len();
        let weight = self.tensor("weight", &[Some(rows), None])?;
        let bias = self.tensor("bias", &[Some(rows)])?;
        LayerFisher::new(weight, bias).map_err(|error| refuse(error.to_string()))
    }

    pub(crate) fn classes(&self, header: &CardHeader) -> Result<Vec<LayerFisher>, RegistryError> {
        let (classes, rows) = (header.classes.len(), header.outputs.len());
        let weights = self.values("class.weight", &[Some(classes), Some(rows), None])?;
        let cols = weights.shape.get(2).copied().unwrap_or(0);
        let biases = self.values("class.bias", &[Some(classes), Some(rows)])?;
        (0..classes)
            .map(|class| {
                let of = |raw: &Raw, shape: &[usize]| {
                    let size: usize = shape.iter().product();
                    let part = Raw {
                        shape: shape.to_vec(),
                        values: raw.values[class * size..(class + 1) * size].to_vec(),
                        scales: raw
                            .scales
                            .as_ref()
                            .map(|all| all[class * rows..(class + 1) * rows].to_vec()),
                    };
                    part.fisher()
                };
                let weight = of(&weights, &[rows, cols])?;
                let bias = of(&biases, &[rows])?;
                LayerFisher::new(weight, bias).map_err(|error| refuse(error.to_string()))
            })
            .collect()
    }

    fn inner_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .file
            .names()
            .into_iter()
            .filter_map(|name| name.strip_prefix(INNER))
            .filter(|name| !name.ends_with(&format!(".{SCALE}")))
            .map(str::to_owned)
            .collect();
        names.sort();
        names
    }

    pub(crate) fn inner(&self) -> Result<BTreeMap<String, FisherTensor>, RegistryError> {
        self.inner_names()
            .into_iter()
            .map(|name| {
                let full = format!("{INNER}{name}");
                let fisher = self.values(&full, &[])?.fisher()?;
                Ok((name, fisher))
            })
            .collect()
    }

    fn tensor(
        &self,
        name: &str,
        expected: &[Option<usize>],
    ) -> Result<FisherTensor, RegistryError> {
        self.values(name, expected)?.fisher()
    }

    /// A FIM as it is stored. An empty `expected` lets any shape pass.
    fn values(&self, name: &str, expected: &[Option<usize>]) -> Result<Raw, RegistryError> {
        let view = self
            .file
            .tensor(name)
            .map_err(|_| refuse(format!("it has no tensor `{name}`")))?;
        let tensor = Tensor {
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            bytes: view.data().to_vec(),
        };
        expect_shape(name, &tensor.shape, expected)?;
        let values = tensor
            .to_f32()
            .ok_or_else(|| refuse(format!("its tensor `{name}` holds no floats")))?;
        let scales = match self.file.tensor(&format!("{name}.{SCALE}")) {
            Err(_) => None,
            Ok(view) if view.dtype() == Dtype::F64 => Some(
                view.data()
                    .chunks_exact(8)
                    .map(|chunk| {
                        let mut word = [0; 8];
                        word.copy_from_slice(chunk);
                        f64::from_le_bytes(word)
                    })
                    .collect::<Vec<f64>>(),
            ),
            Ok(view) => {
                return Err(refuse(format!(
                    "its tensor `{name}.{SCALE}` holds {:?}, expected F64",
                    view.dtype()
                )));
            }
        };
        // A per-class tensor has a scale for each class and row, the others one for each row.
        let dimensions = if name.starts_with("class.") { 2 } else { 1 };
        let rows: usize = tensor.shape.iter().take(dimensions).product();
        if let Some(scales) = &scales
            && scales.len() != rows
        {
            return Err(refuse(format!(
                "its tensor `{name}.{SCALE}` has {} values, expected {rows}",
                scales.len()
            )));
        }
        Ok(Raw {
            shape: tensor.shape,
            values,
            scales,
        })
    }
}

/// A FIM as it is stored; the first format had no scales.
struct Raw {
    shape: Vec<usize>,
    values: Vec<f32>,
    scales: Option<Vec<f64>>,
}

impl Raw {
    fn fisher(self) -> Result<FisherTensor, RegistryError> {
        match self.scales {
            Some(scales) => FisherTensor::from_parts(self.shape, self.values, scales),
            None => FisherTensor::from_values(&self.shape, &self.values),
        }
        .map_err(|error| refuse(error.to_string()))
    }
}

fn expect_shape(
    name: &str,
    found: &[usize],
    expected: &[Option<usize>],
) -> Result<(), RegistryError> {
    let fits = expected.is_empty()
        || found.len() == expected.len()
            && found
                .iter()
                .zip(expected)
                .all(|(have, want)| want.is_none_or(|want| want == *have));
    if fits {
        return Ok(());
    }
    let expected: Vec<String> = expected
        .iter()
        .map(|n| n.map_or("any".into(), |n| n.to_string()))
        .collect();
    Err(refuse(format!(
        "its tensor `{name}` is {found:?}, expected [{}]",
        expected.join(", ")
    )))
}
