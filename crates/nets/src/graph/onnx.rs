//! Graphs run by `rten`.

use disinherit_data::{DataSet, ImageShape, Samples};
use disinherit_formats::{GraphInput, shape_text};
use fiun::Matrix;
use rten::{Model, NodeId, ValueOrView};
use rten_tensor::Tensor;
use rten_tensor::prelude::*;

use crate::architecture::input::Input;
use crate::error::NetError;
use crate::inputs::Inputs;
use crate::preprocessing::Preprocessing;

/// Samples run at a time where the graph leaves it open.
const BATCH: usize = 32;

/// Tokens of a text that are read where neither the graph nor the preprocessing says otherwise.
const LENGTH: usize = 128;

/// A graph with its weights, ready to be run.
pub struct GraphNetwork {
    model: Model,
    inputs: Vec<(NodeId, GraphInput)>,
    output: NodeId,
}

pub(super) fn refuse(reason: impl std::fmt::Display) -> NetError {
    NetError::Backend(format!("the ONNX graph cannot be run: {reason}"))
}

/// Some samples as the graph reads them.
pub(super) struct Batch {
    pub(super) inputs: Vec<(NodeId, ValueOrView<'static>)>,
    /// The rows that it is run on.
    pub(super) rows: usize,
    /// How many of them are samples: a graph may insist on more.
    pub(super) wanted: usize,
}

/// The first rows of what goes into a head.
pub(super) fn vectors(
    made: &Tensor<f32>,
    rows: usize,
    wanted: usize,
) -> Result<Vec<f32>, NetError> {
    if made.ndim() != 2 || made.size(0) != rows {
        return Err(refuse(format!(
            "what goes into its head is {}, not [{rows}, values] for {rows} samples",
            shape_text(made.shape())
        )));
    }
    let mut values = made.to_vec();
    values.truncate(wanted * made.size(1));
    Ok(values)
}

impl GraphNetwork {
    /// Loads an ONNX file whose value `output` is what is asked for.
    ///
    /// # Errors
    /// [`NetError::Backend`] when the file cannot be loaded, for instance for an operation that is
    /// not known.
    pub fn new(file: Vec<u8>, inputs: Vec<GraphInput>, output: &str) -> Result<Self, NetError> {
        let model = Model::load(file).map_err(|error| {
            refuse(format!(
                "{error}; capture its features where it can be run, and give those"
            ))
        })?;
        let inputs = inputs
            .into_iter()
            .map(|input| Ok((model.node_id(&input.name).map_err(refuse)?, input)))
            .collect::<Result<Vec<_>, NetError>>()?;
        let output = model.node_id(output).map_err(refuse)?;
        Ok(Self {
            model,
            inputs,
            output,
        })
    }

    /// What the graph makes of the samples of a data set, `[samples, values]`. `progress` is told how
    /// many samples are done.
    ///
    /// # Errors
    /// [`NetError::Data`] when the samples do not fit the inputs, [`NetError::Backend`] when an
    /// operation fails.
    pub fn features(
        &self,
        set: &DataSet,
        preprocessing: &Preprocessing,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Matrix, NetError> {
        let mut values = Vec::new();
        self.each(set, preprocessing, &mut |batch| {
            let [made] = self.run(batch.inputs, [self.output])?;
            values.extend(vectors(&made, batch.rows, batch.wanted)?);
            progress(batch.wanted);
            Ok(())
        })?;
        Matrix::new(set.len(), values.len() / set.len().max(1), values).map_err(refuse)
    }

    /// Goes through the samples of a data set, batch by batch.
    pub(super) fn each(
        &self,
        set: &DataSet,
        preprocessing: &Preprocessing,
        run: &mut dyn FnMut(Batch) -> Result<(), NetError>,
    ) -> Result<(), NetError> {
        let batch = self.batch();
        let all: Vec<usize> = (0..set.len()).collect();
        for indices in all.chunks(batch) {
            let rows = self.rows(indices.len(), batch);
            let inputs = match set.samples() {
                Samples::Images { shape, .. } => {
                    self.images(set, *shape, preprocessing, indices, rows)?
                }
                Samples::Tokens { .. } => self.tokens(set, preprocessing, indices, rows)?,
                Samples::Features(_) => {
                    return Err(NetError::Data(format!(
                        "`{}` holds features already",
                        set.name()
                    )));
                }
                Samples::External => {
                    return Err(NetError::Data(format!(
                        "the samples of `{}` are external",
                        set.name()
                    )));
                }
            };
            run(Batch {
                inputs,
                rows,
                wanted: indices.len(),
            })?;
        }
        Ok(())
    }

    /// The node of a value.
    pub(super) fn node(&self, value: &str) -> Result<NodeId, NetError> {
        self.model.node_id(value).map_err(refuse)
    }

    /// The node of the value that is asked for.
    pub(super) fn output(&self) -> NodeId {
        self.output
    }

    /// Runs the graph from some values to others.
    pub(super) fn run<const N: usize>(
        &self,
        from: Vec<(NodeId, ValueOrView<'static>)>,
        to: [NodeId; N],
    ) -> Result<[Tensor<f32>; N], NetError> {
        let made = self.model.run(from, &to, None).map_err(refuse)?;
        let tensors = made.into_iter().map(|value| {
            let tensor: Tensor<f32> = value.try_into().map_err(refuse)?;
            Ok(tensor)
        });
        let tensors = tensors.collect::<Result<Vec<_>, NetError>>()?;
        tensors
            .try_into()
            .map_err(|_| refuse("it does not make what is asked for"))
    }

    /// The number of samples that the graph wants at a time.
    pub(super) fn batch(&self) -> usize {
        let fixed = self
            .inputs
            .iter()
            .find_map(|(_, input)| *input.shape.first()?);
        fixed.unwrap_or(BATCH)
    }

    /// The rows of a batch: those asked for, or as many as the graph insists on.
    pub(super) fn rows(&self, wanted: usize, batch: usize) -> usize {
        let fixed = self
            .inputs
            .iter()
            .any(|(_, input)| input.shape.first().is_some_and(Option::is_some));
        if fixed { batch } else { wanted }
    }

    fn images(
        &self,
        set: &DataSet,
        shape: ImageShape,
        preprocessing: &Preprocessing,
        indices: &[usize],
        rows: usize,
    ) -> Result<Vec<(NodeId, ValueOrView<'static>)>, NetError> {
        let [(id, input)] = &self.inputs[..] else {
            return Err(NetError::Data(format!(
                "the graph reads {}, `{}` has images",
                self.described(),
                set.name()
            )));
        };
        let inputs = Inputs::new(set, Input::Images(shape), preprocessing)?;
        let mut values = Vec::with_capacity(rows * shape.len());
        for &index in indices {
            if let Some((_, pixels)) = set.image(index) {
                inputs.append_plain(shape, pixels, &mut values);
            }
        }
        values.resize(rows * shape.len(), 0.0);
        let whole = [shape.channels, shape.height, shape.width];
        let rest = input.shape.get(1..).unwrap_or_default();
        let fits = |wanted: &[usize]| {
            rest.len() == wanted.len()
                && rest
                    .iter()
                    .zip(wanted)
                    .all(|(known, own)| known.is_none_or(|k| k == *own))
        };
        let dims = if !input.whole && fits(&whole) {
            vec![rows, whole[0], whole[1], whole[2]]
        } else if !input.whole && fits(&[shape.len()]) {
            vec![rows, shape.len()]
        } else {
            return Err(NetError::Data(format!(
                "the graph reads {}, the images of `{}` are {shape}",
                self.described(),
                set.name()
            )));
        };
        let tensor = Tensor::from_data(&dims[..], values);
        Ok(vec![(*id, tensor.into())])
    }

    fn tokens(
        &self,
        set: &DataSet,
        preprocessing: &Preprocessing,
        indices: &[usize],
        rows: usize,
    ) -> Result<Vec<(NodeId, ValueOrView<'static>)>, NetError> {
        let fixed = self
            .inputs
            .iter()
            .find_map(|(_, input)| *input.shape.get(1)?);
        let most = fixed.or(preprocessing.length).unwrap_or(LENGTH);
        let longest = indices
            .iter()
            .filter_map(|index| Some(set.tokens(*index)?.len()))
            .max()
            .unwrap_or(1);
        // Padding is left out where the graph allows it.
        let length = fixed.unwrap_or(most.min(longest)).max(1);
        let mut tokens = vec![0i32; rows * length];
        for (row, &index) in tokens.chunks_exact_mut(length).zip(indices) {
            let own = set.tokens(index).unwrap_or_default();
            for (place, token) in row.iter_mut().zip(own) {
                *place = i32::try_from(*token).map_err(|_| {
                    NetError::Data(format!("a token of `{}` is too large", set.name()))
                })?;
            }
        }
        let mut values: Vec<(NodeId, ValueOrView<'static>)> = Vec::new();
        for (id, input) in &self.inputs {
            let name = input.name.to_lowercase();
            let made: Vec<i32> = match () {
                () if !input.whole => {
                    return Err(NetError::Data(format!(
                        "the graph reads {}, `{}` has tokens",
                        self.described(),
                        set.name()
                    )));
                }
                () if name.contains("mask") => {
                    tokens.iter().map(|token| i32::from(*token != 0)).collect()
                }
                () if name.contains("type") || name.contains("segment") => {
                    vec![0; tokens.len()]
                }
                () => tokens.clone(),
            };
            let tensor = Tensor::from_data(&[rows, length][..], made);
            values.push((*id, tensor.into()));
        }
        Ok(values)
    }

    /// The inputs in words.
    fn described(&self) -> String {
        let list = self.inputs.iter().map(|(_, input)| {
            let dims: Vec<String> = input
                .shape
                .iter()
                .map(|length| length.map_or("?".into(), |length| length.to_string()))
                .collect();
            format!("`{}` [{}]", input.name, dims.join(", "))
        });
        list.collect::<Vec<_>>().join(", ")
    }
}
