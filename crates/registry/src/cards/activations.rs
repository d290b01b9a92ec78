//! Activation statistics of a card: what a network makes of each class before its last block, without
//! the samples.

use std::collections::{BTreeMap, HashMap};

use disinherit_formats::Tensor;
use fiun::{LowRankGaussian, Matrix};
use half::f16;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::error::RegistryError;

/// What the names of the tensors start with.
const PREFIX: &str = "activations/";

/// The entry of the metadata that describes them.
pub(crate) const ENTRY: &str = "activations";

/// What a network makes of each class before the block that its penultimate layer closes.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivationStatistics {
    /// The weight of the penultimate layer, by its full name.
    pub layer: String,
    /// Height, width and channels of what enters the block.
    pub shape: [usize; 3],
    /// Which positions of a sequence these are; nothing where all of what enters the block is there.
    pub positions: Option<KeptPositions>,
    /// Of a network that runs elsewhere: how its layer reads and writes. The values are then what the layer reads
    /// and, behind that, what its output is added to.
    pub elsewhere: Option<RunElsewhere>,
    /// One for each label that there were samples of.
    pub classes: Vec<ClassActivations>,
}

/// The positions of a sequence that statistics speak of: the others do not matter to the features.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptPositions {
    /// How many the sequence has.
    pub length: usize,
    /// Those that are kept, in rising order; as many as the statistics' shape has.
    pub kept: Vec<usize>,
}

/// How the penultimate layer of a network that runs elsewhere reads and writes, so that what lies above it can be run
/// from draws.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunElsewhere {
    /// Whether its weight is `[inputs, outputs]`.
    pub transposed: bool,
    /// The name of its bias, where it has one of its own.
    pub bias: Option<String>,
    /// The bias of the batch norm behind it, and the factor between the layer's output and what that is added to.
    pub shift: Option<(String, Vec<f32>)>,
    /// The factor between its output and the stream, by channel.
    pub scale: Vec<f32>,
    /// Height, width and channels of what it reads.
    pub reads: [usize; 3],
    /// The same of the stream.
    pub stream: [usize; 3],
    /// Kernel, stride and padding of its window.
    pub window: [usize; 3],
    /// The steps from the stream to the features.
    pub above: Vec<String>,
}

/// What a network makes of one class.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassActivations {
    /// The label.
    pub label: String,
    /// How many samples it was fitted to.
    pub samples: u64,
    /// The values, channels last, `[height * width * channels]` each.
    pub gaussian: LowRankGaussian,
}

/// What the metadata says.
#[derive(Serialize, Deserialize)]
struct Description {
    layer: String,
    shape: [usize; 3],
    #[serde(default, skip_serializing_if = "Option::is_none")]
    positions: Option<KeptPositions>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    elsewhere: Option<RunElsewhere>,
    classes: Vec<Class>,
}

#[derive(Serialize, Deserialize)]
struct Class {
    label: String,
    samples: u64,
    rank: usize,
}

impl ActivationStatistics {
    /// The statistics of a label.
    pub fn of(&self, label: &str) -> Option<&ClassActivations> {
        self.classes.iter().find(|class| class.label == label)
    }

    /// Adds its tensors and what the metadata says of them: half precision, in units of each class's
    /// largest value.
    pub(crate) fn put(
        &self,
        tensors: &mut BTreeMap<String, Tensor>,
        metadata: &mut HashMap<String, String>,
    ) -> Result<(), RegistryError> {
        let description = Description {
            layer: self.layer.clone(),
            shape: self.shape,
            positions: self.positions.clone(),
            elsewhere: self.elsewhere.clone(),
            classes: self.classes.iter().map(Class::from_activations).collect(),
        };
        let text = serde_json::to_string(&description);
        let text = text.map_err(|error| RegistryError::Card(error.to_string()))?;
        metadata.insert(ENTRY.to_owned(), text);
        let width: usize = self.shape.iter().product();
        let mut values = Vec::new();
        let mut units = Vec::new();
        for class in &self.classes {
            let parts = class.parts();
            let largest = parts.iter().flat_map(|part| part.iter());
            let unit = largest.fold(0.0f32, |most, value| most.max(value.abs()));
            let unit = if unit > 0.0 { unit } else { 1.0 };
            units.push(unit);
            let scaled = parts.iter().flat_map(|part| part.iter());
            values.extend(scaled.flat_map(|value| f16::from_f32(value / unit).to_le_bytes()));
        }
        let rows = values.len() / 2 / width.max(1);
        let tensor = Tensor {
            dtype: Dtype::F16,
            shape: vec![rows, width],
            bytes: values,
        };
        tensors.insert(format!("{PREFIX}values"), tensor);
        let units = Tensor::from_f32(&[units.len()], &units);
        tensors.insert(format!("{PREFIX}units"), units);
        Ok(())
    }

    /// Reads what [`ActivationStatistics::put`] wrote; nothing where the file has none.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>, RegistryError> {
        let refuse = |reason: String| RegistryError::Card(format!("its activations: {reason}"));
        let (_, meta) =
            SafeTensors::read_metadata(bytes).map_err(|error| refuse(error.to_string()))?;
        let text = meta.metadata().as_ref().and_then(|all| all.get(ENTRY));
        let Some(text) = text else { return Ok(None) };
        let description: Description =
            serde_json::from_str(text).map_err(|error| refuse(error.to_string()))?;
        let file = SafeTensors::deserialize(bytes).map_err(|error| refuse(error.to_string()))?;
        let floats = |name: &str| {
            let view = file
                .tensor(&format!("{PREFIX}{name}"))
                .map_err(|error| refuse(error.to_string()))?;
            let tensor = Tensor {
                dtype: view.dtype(),
                shape: view.shape().to_vec(),
                bytes: view.data().to_vec(),
            };
            let values = tensor.to_f32();
            values.ok_or_else(|| refuse(format!("its `{name}` are no floats")))
        };
        if !description.positions_fit() {
            return Err(refuse("its positions are none of a sequence".into()));
        }
        let (values, units) = (floats("values")?, floats("units")?);
        let width = description
            .shape
            .iter()
            .try_fold(1usize, |product, side| product.checked_mul(*side))
            .ok_or_else(|| refuse(format!("its shape is {:?}", description.shape)))?;
        let mut rest = &values[..];
        let mut classes = Vec::new();
        for (class, unit) in description.classes.into_iter().zip(&units) {
            let held = class
                .rank
                .checked_add(2)
                .and_then(|rows| rows.checked_mul(width))
                .and_then(|size| rest.split_at_checked(size));
            let Some((held, behind)) = held else {
                return Err(refuse(format!("`{}` has too few values", class.label)));
            };
            rest = behind;
            classes.push(class.read(held, width, *unit)?);
        }
        if !rest.is_empty() || classes.len() != units.len() {
            return Err(refuse("there are more values than classes".into()));
        }
        Ok(Some(Self {
            layer: description.layer,
            shape: description.shape,
            positions: description.positions,
            elsewhere: description.elsewhere,
            classes,
        }))
    }
}

impl Description {
    /// Whether the positions, if there are any, are as many as the shape says, and in a sequence.
    fn positions_fit(&self) -> bool {
        let Some(KeptPositions { length, kept }) = &self.positions else {
            return true;
        };
        let rises = kept.windows(2).all(|pair| pair[0] < pair[1]);
        rises && kept.last() < Some(length) && self.shape[..2] == [1, kept.len()]
    }
}

impl ClassActivations {
    fn parts(&self) -> [&[f32]; 3] {
        let gaussian = &self.gaussian;
        [
            gaussian.mean(),
            gaussian.rest(),
            gaussian.directions().values(),
        ]
    }
}

impl Class {
    fn from_activations(class: &ClassActivations) -> Self {
        Self {
            label: class.label.clone(),
            samples: class.samples,
            rank: class.gaussian.directions().rows(),
        }
    }

    /// `held`: the mean, the rest and the directions, in units.
    fn read(
        self,
        held: &[f32],
        width: usize,
        unit: f32,
    ) -> Result<ClassActivations, RegistryError> {
        let refuse = |error: fiun::FisherError| RegistryError::Card(error.to_string());
        let values: Vec<f32> = held.iter().map(|value| value * unit).collect();
        let (mean, behind) = values.split_at(width);
        let (rest, directions) = behind.split_at(width);
        let directions = Matrix::new(self.rank, width, directions.to_vec()).map_err(refuse)?;
        let gaussian = LowRankGaussian::from_parts(mean.to_vec(), directions, rest.to_vec());
        Ok(ClassActivations {
            label: self.label,
            samples: self.samples,
            gaussian: gaussian.map_err(refuse)?,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use disinherit_formats::to_safetensors;

    use super::*;

    fn statistics() -> ActivationStatistics {
        let class = |label: &str, rank: usize, size: f32| {
            let numbers = |count: usize| (0..count).map(move |i| (i as f32 - 3.0) * size);
            let directions = Matrix::new(rank, 4, numbers(rank * 4).collect()).unwrap();
            let (mean, rest) = (numbers(4).collect(), numbers(4).map(f32::abs).collect());
            ClassActivations {
                label: label.into(),
                samples: 12,
                gaussian: LowRankGaussian::from_parts(mean, directions, rest).unwrap(),
            }
        };
        ActivationStatistics {
            layer: "fc1.weight".into(),
            shape: [1, 2, 2],
            positions: None,
            elsewhere: None,
            classes: vec![
                class("a/b.c", 1, 1.0),
                class("", 0, 1e6),
                class("z", 3, 1e-9),
            ],
        }
    }

    fn file(statistics: &ActivationStatistics) -> Vec<u8> {
        let (mut tensors, mut metadata) = (BTreeMap::new(), HashMap::new());
        statistics.put(&mut tensors, &mut metadata).unwrap();
        to_safetensors(&tensors, metadata).unwrap()
    }

    #[test]
    fn what_is_written_is_read_in_half_precision() {
        let statistics = statistics();
        let read = ActivationStatistics::read(&file(&statistics))
            .unwrap()
            .unwrap();
        assert_eq!(read.layer, statistics.layer);
        for (read, class) in read.classes.iter().zip(&statistics.classes) {
            assert_eq!((&read.label, read.samples), (&class.label, class.samples));
            for (read, values) in read.parts().iter().zip(class.parts()) {
                assert_eq!(read.len(), values.len());
                for (a, b) in read.iter().zip(values) {
                    assert!((a - b).abs() <= 1e-3 * b.abs(), "{a} {b}");
                }
            }
        }
        assert_eq!(read.of("z").unwrap().samples, 12);
        let other = BTreeMap::from([("weight".to_owned(), Tensor::from_f32(&[1], &[1.0]))]);
        let none = to_safetensors(&other, HashMap::new()).unwrap();
        assert_eq!(ActivationStatistics::read(&none).unwrap(), None);
    }

    #[test]
    fn positions_are_written_where_there_are_some() {
        let mut statistics = statistics();
        let text = String::from_utf8_lossy(&file(&statistics)).into_owned();
        assert!(!text.contains("positions") && !text.contains("elsewhere"));
        statistics.elsewhere = Some(RunElsewhere {
            transposed: true,
            bias: None,
            shift: Some(("norm.bias".into(), vec![0.1, 2.0])),
            scale: vec![1.0, 1e-7],
            reads: [1, 1, 2],
            stream: [1, 1, 2],
            window: [1, 1, 0],
            above: vec!["relu".into()],
        });
        statistics.positions = Some(KeptPositions {
            length: 9,
            kept: vec![0, 8],
        });
        let read = ActivationStatistics::read(&file(&statistics)).unwrap();
        let read = read.unwrap();
        assert_eq!(read.positions, statistics.positions);
        assert_eq!(read.elsewhere, statistics.elsewhere);
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let positions = |kept: Vec<usize>| Some(KeptPositions { length: 9, kept });
        let claims: [&dyn Fn(&mut Description); 6] = [
            &|d| d.positions = positions(vec![0, 9]),
            &|d| d.positions = positions(vec![1, 0]),
            &|d| d.positions = positions(vec![0, 1, 2]),
            &|d| d.classes[0].rank = usize::MAX,
            &|d| d.shape = [usize::MAX, 2, 2],
            &|d| d.classes.truncate(1),
        ];
        for claim in claims {
            let (mut tensors, mut metadata) = (BTreeMap::new(), HashMap::new());
            statistics().put(&mut tensors, &mut metadata).unwrap();
            let mut description = serde_json::from_str(&metadata[ENTRY]).unwrap();
            claim(&mut description);
            let text = serde_json::to_string(&description).unwrap();
            metadata.insert(ENTRY.to_owned(), text);
            let bytes = to_safetensors(&tensors, metadata).unwrap();
            assert!(ActivationStatistics::read(&bytes).is_err());
        }
    }
}
