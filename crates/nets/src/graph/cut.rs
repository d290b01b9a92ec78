//! A graph cut at its last layer of weights below the head.

use disinherit_data::DataSet;
use disinherit_formats::{GraphInput, GraphLayer, shape_text};
use fiun::{Correction, Matrix};
use rten::NodeId;
use rten_tensor::Tensor;
use rten_tensor::prelude::*;

use super::onnx::{GraphNetwork, NodeValues, refuse, vectors};
use crate::array::Array;
use crate::cpu::maps::Maps;
use crate::cpu::window::Window;
use crate::error::NetError;
use crate::penultimate::activations::Activations;
use crate::penultimate::entrances::Positions;
use crate::penultimate::tensors::{LEAST_GAMMA, LayerTensors};
use crate::preprocessing::Preprocessing;

/// The share of the largest feature by which a position of a sequence must change some feature to lead to
/// them.
const LEADS: f32 = 1e-4;

/// A graph with its weights, cut at its last layer of weights below the head.
pub struct GraphCut {
    pub(super) network: GraphNetwork,
    pub(super) reads: NodeId,
    pub(super) stream: NodeId,
    /// What enters the layer's block, where that is one value.
    pub(super) entrance: Option<NodeId>,
    pub(super) window: Window,
    pub(super) is_map: bool,
    /// Of a layer that writes every position of a sequence: those that lead to the features.
    pub(super) sequence: Option<Positions>,
    tensors: LayerTensors,
    /// Weight over deviation of the batch norm, 1 where there is none.
    factors: Vec<f32>,
    /// As `factors`, 0 for channels that are as good as switched off.
    scale: Vec<f32>,
}

/// Values that others are added to.
pub(super) fn none() -> Array {
    Array {
        shape: Vec::new(),
        values: Vec::new(),
    }
}

impl GraphCut {
    /// Loads an ONNX file whose outputs are the value `features` and those that `layer` names.
    ///
    /// # Errors
    /// [`NetError::Backend`] when the file cannot be loaded.
    pub fn new(
        file: Vec<u8>,
        inputs: Vec<GraphInput>,
        features: &str,
        layer: GraphLayer,
    ) -> Result<Self, NetError> {
        let network = GraphNetwork::new(file, inputs, features)?;
        let norm = layer.norm.as_ref();
        let factor =
            |at: usize| norm.map_or(1.0, |norm| norm.weight[at] / norm.variance[at].sqrt());
        let is_on = |at: usize| norm.is_none_or(|norm| norm.weight[at].abs() >= LEAST_GAMMA);
        let factors: Vec<f32> = (0..layer.outputs).map(factor).collect();
        let scale = factors.iter().enumerate();
        Ok(Self {
            reads: network.node(&layer.reads)?,
            stream: network.node(&layer.stream)?,
            entrance: layer
                .entrance
                .map(|value| network.node(&value))
                .transpose()?,
            network,
            is_map: layer.window.is_some(),
            sequence: None,
            window: layer
                .window
                .map_or(Window::POINT, |[kernel, stride, padding]| Window {
                    kernel,
                    stride,
                    padding,
                }),
            scale: scale
                .map(|(at, factor)| if is_on(at) { *factor } else { 0.0 })
                .collect(),
            tensors: LayerTensors {
                weight: layer.weight,
                transposed: layer.transposed,
                bias: layer.bias,
                shift: layer.norm.map(|norm| (norm.bias, factors.clone())),
            },
            factors,
        })
    }

    /// Leaves alone the biases that are not `known`: they are no tensors that could be changed.
    pub fn keep(&mut self, known: &dyn Fn(&str) -> bool) {
        let tensors = &mut self.tensors;
        tensors.bias = tensors.bias.take().filter(|name| known(name));
        tensors.shift = tensors.shift.take().filter(|(name, _)| known(name));
    }

    /// Finds out which positions lead to the features where the layer writes a sequence: those are kept of
    /// every sample. Some samples are enough.
    ///
    /// # Errors
    /// As [`GraphCut::run`].
    pub fn settle(&mut self, set: &DataSet, preprocessing: &Preprocessing) -> Result<(), NetError> {
        let (stream, output) = (self.stream, self.network.output());
        if self.is_map || stream == output {
            return Ok(());
        }
        let mut found = None;
        self.network.each(set, preprocessing, &mut |_, fed| {
            if found.is_none() {
                let [stream, features] = self.network.run(fed, [stream, output])?;
                found = Some(match stream.shape()[..] {
                    [_, length, _] => Some(Positions {
                        length,
                        kept: self.leading(&stream, &features)?,
                    }),
                    _ => None,
                });
            }
            Ok(())
        })?;
        self.sequence = found.flatten();
        Ok(())
    }

    /// The positions of a sequence that change the features when they are changed.
    fn leading(
        &self,
        stream: &Tensor<f32>,
        features: &Tensor<f32>,
    ) -> Result<Vec<usize>, NetError> {
        let (values, before) = (stream.to_vec(), features.to_vec());
        let (length, channels) = (stream.size(1), stream.size(2));
        let size = values.iter().map(|value| value.abs()).sum::<f32>() / values.len().max(1) as f32;
        let most = before
            .iter()
            .fold(0.0f32, |most, value| most.max(value.abs()));
        let mut leading = Vec::new();
        for position in 0..length {
            let mut changed = values.clone();
            for row in changed.chunks_exact_mut((length * channels).max(1)) {
                let row = &mut row[position * channels..(position + 1) * channels];
                let wave = |channel: usize| (1.7 * channel as f32 + 0.3).sin();
                let pairs = row.iter_mut().enumerate();
                pairs.for_each(|(channel, value)| *value += size * wave(channel));
            }
            let changed = Tensor::from_data(stream.shape(), changed);
            let from = vec![(self.stream, changed.into())];
            let [after] = self.network.run(from, [self.network.output()])?;
            let mut apart = after.to_vec().into_iter().zip(&before);
            if apart.any(|(a, b)| (a - b).abs() > LEADS * most) {
                leading.push(position);
            }
        }
        Ok(leading)
    }

    /// Where a correction goes.
    pub fn tensors(&self) -> &LayerTensors {
        &self.tensors
    }

    /// The factor between the layer's output and the stream, by channel; 0 for a channel that the batch
    /// norm has as good as switched off.
    pub fn scale(&self) -> &[f32] {
        &self.scale
    }

    /// Runs samples up to the layer and what its output becomes part of. `progress` is told how many
    /// samples are done.
    ///
    /// # Errors
    /// [`NetError::Data`] when the samples do not fit, or the layer does not write what a layer of its
    /// kind does; [`NetError::Backend`] when an operation fails.
    pub fn run(
        &self,
        set: &DataSet,
        preprocessing: &Preprocessing,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Activations, NetError> {
        let (mut read, mut written) = (none(), none());
        self.network.each(set, preprocessing, &mut |batch, fed| {
            let made = self.network.run(fed, [self.reads, self.stream])?;
            let [inputs, stream] = made;
            self.append(&inputs, batch.rows, batch.wanted, &mut read)?;
            self.append(&stream, batch.rows, batch.wanted, &mut written)?;
            progress(batch.wanted);
            Ok(())
        })?;
        Activations::new(read, written, self.window)
    }

    /// Adds the first samples of a value to those before, channels last.
    pub(super) fn append(
        &self,
        value: &Tensor<f32>,
        rows: usize,
        wanted: usize,
        into: &mut Array,
    ) -> Result<(), NetError> {
        let (shape, values) = (value.shape().to_vec(), value.to_vec());
        let (channels, size) = match (&self.sequence, &shape[..]) {
            (None, [count, channels, height, width]) if self.is_map && *count == rows => {
                (*channels, [*height, *width])
            }
            (None, [count, channels]) if !self.is_map && *count == rows => (*channels, [1, 1]),
            (Some(sequence), [count, length, channels])
                if *count == rows && *length == sequence.length =>
            {
                (*channels, [1, sequence.kept.len()])
            }
            (Some(_), [_, _, _]) => {
                return Err(NetError::Data(
                    "its samples have different numbers of positions".into(),
                ));
            }
            _ => {
                return Err(NetError::Data(format!(
                    "its last layer below the head reads or writes {} of {rows} samples",
                    shape_text(&shape)
                )));
            }
        };
        let each = values.len() / rows.max(1);
        let positions = each / channels.max(1);
        for sample in values.chunks_exact(each.max(1)).take(wanted) {
            match &self.sequence {
                None => into.values.extend((0..positions).flat_map(|at| {
                    (0..channels).map(move |channel| sample[channel * positions + at])
                })),
                Some(sequence) => into.values.extend(
                    sequence
                        .kept
                        .iter()
                        .flat_map(|at| &sample[at * channels..(at + 1) * channels]),
                ),
            }
        }
        let before = into.shape.first().copied().unwrap_or(0);
        let shape = vec![before + wanted, size[0], size[1], channels];
        if before > 0 && into.shape[1..] != shape[1..] {
            return Err(NetError::Data(
                "its last layer below the head reads samples of different sizes".into(),
            ));
        }
        into.shape = shape;
        Ok(())
    }

    /// The features, `[samples, inputs of the head]`, after a correction of the layer; those of the graph
    /// as it is without one. What is above the layer is run again.
    ///
    /// # Errors
    /// [`NetError::Backend`] when the correction does not fit, or the graph cannot be run from there.
    pub fn features(
        &self,
        activations: &Activations,
        correction: Option<&Correction>,
    ) -> Result<Matrix, NetError> {
        let batch = self.network.inputs().batch();
        let all: Vec<usize> = (0..activations.samples()).collect();
        let mut values = Vec::new();
        for places in all.chunks(batch) {
            let part = activations.select(places);
            let rows = self.network.inputs().rows(places.len(), batch);
            let has_bias = self.tensors.have_bias();
            let stream = part.corrected(correction, &self.factors, has_bias)?;
            let stream = self.whole(stream, rows);
            if self.stream == self.network.output() {
                values.extend(vectors(&stream, rows, places.len())?);
                continue;
            }
            let from: NodeValues = vec![(self.stream, stream.into())];
            let [made] = self.network.run(from, [self.network.output()])?;
            values.extend(vectors(&made, rows, places.len())?);
        }
        Matrix::new(all.len(), values.len() / all.len().max(1), values).map_err(refuse)
    }

    /// The stream, or what enters the block, as the graph has it.
    pub(super) fn whole(&self, maps: Maps, rows: usize) -> Tensor<f32> {
        let (channels, [height, width]) = (maps.channels, maps.size);
        let Some(Positions { length, kept }) = &self.sequence else {
            let mut values = maps.flattened().values;
            values.resize(rows * channels * height * width, 0.0);
            let shape = [rows, channels, height, width];
            let shape = if self.is_map { &shape[..] } else { &shape[..2] };
            return Tensor::from_data(shape, values);
        };
        // What is at other positions does not matter.
        let mut values = vec![0.0; rows * length * channels];
        let samples = values.chunks_exact_mut((length * channels).max(1));
        let known = maps.values.chunks_exact((width * channels).max(1));
        for (sample, known) in samples.zip(known) {
            for (at, row) in kept.iter().zip(known.chunks_exact(channels.max(1))) {
                sample[at * channels..(at + 1) * channels].copy_from_slice(row);
            }
        }
        Tensor::from_data(&[rows, *length, channels][..], values)
    }
}
