//! Graphs run by `rten`.

use disinherit_data::DataSet;
use disinherit_formats::{GraphInput, shape_text};
use fiun::Matrix;
use rten::{Model, NodeId, ValueOrView};
use rten_tensor::Tensor;
use rten_tensor::prelude::*;

use super::batches::{Batch, Fed, GraphInputs, Values};
use crate::error::NetError;
use crate::preprocessing::Preprocessing;

/// Values of a graph that it is run from.
pub(super) type NodeValues = Vec<(NodeId, ValueOrView<'static>)>;

/// A graph with its weights, ready to be run.
pub struct GraphNetwork {
    model: Model,
    inputs: GraphInputs,
    nodes: Vec<NodeId>,
    output: NodeId,
}

pub(super) fn refuse(reason: impl std::fmt::Display) -> NetError {
    NetError::Backend(format!("the ONNX graph cannot be run: {reason}"))
}

/// The first rows of what goes into a head, given the shape and the values of some.
pub(super) fn first_rows(
    (shape, values): (&[usize], Vec<f32>),
    rows: usize,
    wanted: usize,
) -> Result<Vec<f32>, NetError> {
    let &[count, width] = shape else {
        return Err(not_vectors(shape, rows));
    };
    if count != rows {
        return Err(not_vectors(shape, rows));
    }
    let mut values = values;
    values.truncate(wanted * width);
    Ok(values)
}

fn not_vectors(shape: &[usize], rows: usize) -> NetError {
    refuse(format!(
        "what goes into its head is {}, not [{rows}, values] for {rows} samples",
        shape_text(shape)
    ))
}

/// The first rows of what goes into a head.
pub(super) fn vectors(
    made: &Tensor<f32>,
    rows: usize,
    wanted: usize,
) -> Result<Vec<f32>, NetError> {
    first_rows((made.shape(), made.to_vec()), rows, wanted)
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
        let nodes = inputs
            .iter()
            .map(|input| model.node_id(&input.name).map_err(refuse))
            .collect::<Result<Vec<_>, NetError>>()?;
        let output = model.node_id(output).map_err(refuse)?;
        Ok(Self {
            model,
            inputs: GraphInputs(inputs),
            nodes,
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
        self.inputs
            .features(set, preprocessing, progress, &mut |batch| {
                let (rows, wanted) = (batch.rows, batch.wanted);
                let [made] = self.run(self.fed(batch.inputs), [self.output])?;
                vectors(&made, rows, wanted)
            })
    }

    /// Goes through the samples of a data set, batch by batch; `run` is given what goes into the graph, too.
    pub(super) fn each(
        &self,
        set: &DataSet,
        preprocessing: &Preprocessing,
        run: &mut dyn FnMut(&Batch, NodeValues) -> Result<(), NetError>,
    ) -> Result<(), NetError> {
        self.inputs.each(set, preprocessing, &mut |mut batch| {
            let fed = self.fed(std::mem::take(&mut batch.inputs));
            run(&batch, fed)
        })
    }

    fn fed(&self, inputs: Vec<Fed>) -> NodeValues {
        let value = |fed: Fed| {
            let value = match fed.values {
                Values::Floats(values) => Tensor::from_data(&fed.shape[..], values).into(),
                Values::Whole(values) => Tensor::from_data(&fed.shape[..], values).into(),
            };
            (self.nodes[fed.input], value)
        };
        inputs.into_iter().map(value).collect()
    }

    /// What it reads.
    pub(super) fn inputs(&self) -> &GraphInputs {
        &self.inputs
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
        from: NodeValues,
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
}
