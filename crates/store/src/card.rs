//! FIM cards: the Fisher information of a model's head on its training data, in a file.

use std::collections::{BTreeMap, HashMap};

use fiun::{Estimator, HeadFisher, LayerFisher, Matrix};
use safetensors::SafeTensors;

use crate::checkpoint::to_safetensors;
use crate::{Digest, StoreError, Tensor};

const FORMAT: &str = "fim-card/1";

/// The FIM of a model's head, per class of its training data and in total. The file is described
/// in `docs/formats.md`.
#[derive(Debug, Clone, PartialEq)]
pub struct FisherCard {
    /// The digest of the model.
    pub model: Digest,
    /// The digest of the data set (or share of one) that it was computed on.
    pub data: String,
    /// The name of the head, without `.weight` and `.bias`.
    pub head: String,
    /// The label names of the head's rows.
    pub outputs: Vec<String>,
    /// The names of the data's classes, in the order of the per-class parts.
    pub classes: Vec<String>,
    /// The values.
    pub fisher: HeadFisher,
}

impl FisherCard {
    /// The estimator in words: `empirical` or `batch:64`.
    pub fn estimator_name(estimator: Estimator) -> String {
        match estimator {
            Estimator::Empirical => "empirical".into(),
            Estimator::Batch { size } => format!("batch:{size}"),
        }
    }

    /// The card as a safetensors file.
    ///
    /// # Errors
    /// [`StoreError::Card`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, StoreError> {
        let fisher = &self.fisher;
        let (outputs, inputs) = (fisher.total.weight.rows(), fisher.total.weight.cols());
        let classes = fisher.per_class.len();
        let weights: Vec<f32> = fisher
            .per_class
            .iter()
            .flat_map(|c| c.weight.values())
            .copied()
            .collect();
        let biases: Vec<f32> = fisher
            .per_class
            .iter()
            .flat_map(|c| &c.bias)
            .copied()
            .collect();
        let total = &fisher.total;
        let tensors = BTreeMap::from([
            (
                "weight".to_owned(),
                Tensor::from_f32(&[outputs, inputs], total.weight.values()),
            ),
            ("bias".to_owned(), Tensor::from_f32(&[outputs], &total.bias)),
            (
                "class.weight".to_owned(),
                Tensor::from_f32(&[classes, outputs, inputs], &weights),
            ),
            (
                "class.bias".to_owned(),
                Tensor::from_f32(&[classes, outputs], &biases),
            ),
        ]);
        let metadata = HashMap::from([
            ("format".to_owned(), FORMAT.to_owned()),
            ("model".to_owned(), self.model.to_string()),
            ("data".to_owned(), self.data.clone()),
            ("head".to_owned(), self.head.clone()),
            (
                "estimator".to_owned(),
                Self::estimator_name(fisher.estimator),
            ),
            ("outputs".to_owned(), json(&self.outputs)?),
            ("classes".to_owned(), json(&self.classes)?),
            ("counts".to_owned(), json(&fisher.counts)?),
            (
                "tool".to_owned(),
                format!("disinherit {}", env!("CARGO_PKG_VERSION")),
            ),
        ]);
        to_safetensors(&tensors, metadata).map_err(StoreError::Card)
    }

    /// Reads a card and checks that its parts fit together.
    ///
    /// # Errors
    /// [`StoreError::Card`] with the reason.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoreError> {
        let refuse = |reason: String| StoreError::Card(reason);
        let (_, header) =
            SafeTensors::read_metadata(bytes).map_err(|error| refuse(error.to_string()))?;
        let file = SafeTensors::deserialize(bytes).map_err(|error| refuse(error.to_string()))?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let text = |key: &str| {
            metadata
                .get(key)
                .cloned()
                .ok_or_else(|| refuse(format!("it does not say its {key}")))
        };
        let format = text("format")?;
        if format != FORMAT {
            return Err(refuse(format!(
                "it has format `{format}`, this version reads `{FORMAT}`"
            )));
        }
        let names = |key: &str| {
            serde_json::from_str::<Vec<String>>(&text(key)?)
                .map_err(|error| refuse(format!("its {key} are no list of names: {error}")))
        };
        let (outputs, classes) = (names("outputs")?, names("classes")?);
        let counts: Vec<u64> = serde_json::from_str(&text("counts")?)
            .map_err(|error| refuse(format!("its counts are no list of numbers: {error}")))?;
        if counts.len() != classes.len() {
            return Err(refuse(format!(
                "it has {} counts for {} classes",
                counts.len(),
                classes.len()
            )));
        }
        let parts = Parts { file };
        let rows = outputs.len();
        let (total_weight, total_shape) = parts.tensor("weight")?;
        let [_, inputs] = expect_shape("weight", &total_shape, [Some(rows), None])?;
        let (total_bias, shape) = parts.tensor("bias")?;
        expect_shape("bias", &shape, [Some(rows)])?;
        let (weights, shape) = parts.tensor("class.weight")?;
        expect_shape(
            "class.weight",
            &shape,
            [Some(classes.len()), Some(rows), Some(inputs)],
        )?;
        let (biases, shape) = parts.tensor("class.bias")?;
        expect_shape("class.bias", &shape, [Some(classes.len()), Some(rows)])?;
        let layer = |weight: &[f32], bias: &[f32]| {
            Matrix::new(rows, inputs, weight.to_vec())
                .and_then(|weight| LayerFisher::new(weight, bias.to_vec()))
                .map_err(|error| refuse(error.to_string()))
        };
        let per_class: Result<Vec<LayerFisher>, StoreError> = (0..classes.len())
            .map(|class| {
                let size = rows * inputs;
                layer(
                    &weights[class * size..(class + 1) * size],
                    &biases[class * rows..(class + 1) * rows],
                )
            })
            .collect();
        Ok(Self {
            model: text("model")?.parse()?,
            data: text("data")?,
            head: text("head")?,
            fisher: HeadFisher {
                estimator: parse_estimator(&text("estimator")?)?,
                counts,
                per_class: per_class?,
                total: layer(&total_weight, &total_bias)?,
            },
            outputs,
            classes,
        })
    }
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Card(error.to_string()))
}

struct Parts<'a> {
    file: SafeTensors<'a>,
}

impl Parts<'_> {
    fn tensor(&self, name: &str) -> Result<(Vec<f32>, Vec<usize>), StoreError> {
        let view = self
            .file
            .tensor(name)
            .map_err(|_| StoreError::Card(format!("it has no tensor `{name}`")))?;
        let tensor = Tensor {
            dtype: view.dtype(),
            shape: view.shape().to_vec(),
            bytes: view.data().to_vec(),
        };
        let values = tensor
            .to_f32()
            .ok_or_else(|| StoreError::Card(format!("its tensor `{name}` holds no floats")))?;
        Ok((values, tensor.shape))
    }
}

fn expect_shape<const N: usize>(
    name: &str,
    found: &[usize],
    expected: [Option<usize>; N],
) -> Result<[usize; N], StoreError> {
    let fits = found.len() == N
        && found
            .iter()
            .zip(&expected)
            .all(|(have, want)| want.is_none_or(|want| want == *have));
    let refuse = || {
        let expected: Vec<String> = expected
            .iter()
            .map(|n| n.map_or("any".into(), |n| n.to_string()))
            .collect();
        StoreError::Card(format!(
            "its tensor `{name}` is {found:?}, expected [{}]",
            expected.join(", ")
        ))
    };
    if !fits {
        return Err(refuse());
    }
    found.to_vec().try_into().map_err(|_| refuse())
}

fn parse_estimator(text: &str) -> Result<Estimator, StoreError> {
    let batch = text
        .strip_prefix("batch:")
        .and_then(|size| size.parse().ok());
    match (text, batch) {
        ("empirical", _) => Ok(Estimator::Empirical),
        (_, Some(size)) => Ok(Estimator::Batch { size }),
        _ => Err(StoreError::Card(format!(
            "its estimator `{text}` is unknown"
        ))),
    }
}
