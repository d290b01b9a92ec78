//! A network cut at its penultimate layer.

use disinherit_data::DataSet;
use fiun::{Correction, Matrix};
use rayon::prelude::*;

use super::activations::Activations;
use super::entrances::Entrances;
use super::find::{Cut, Join, find};
use super::tensors::{LEAST_GAMMA, LayerTensors};
use crate::architecture::description::Architecture;
use crate::array::StateDict;
use crate::cpu::layer::{CpuLayer, forward};
use crate::cpu::maps::Maps;
use crate::cpu::weights::{Purpose, Weights};
use crate::cpu::window::Window;
use crate::error::{NetError, backend};
use crate::inputs::Inputs;
use crate::ops::batch_norm::EPSILON;
use crate::ops::first::First;
use crate::ops::operation::{Op, cpu_layers};
use crate::preprocessing::Preprocessing;

/// Samples run at a time.
const BATCH: usize = 64;

/// A network with its weights in place, cut at its penultimate layer.
pub struct Penultimate {
    architecture: Architecture,
    pieces: [Vec<Box<dyn CpuLayer>>; 6],
    join: Join,
    /// Whether of a sequence the first position alone leads to the features; then no other is kept.
    first: bool,
    window: Window,
    tensors: LayerTensors,
    /// Weight over deviation of the batch norm, 1 where there is none.
    factors: Vec<f32>,
    /// As `factors`, 0 for channels that are as good as switched off.
    scale: Vec<f32>,
}

/// The pieces of a program, in the order of [`Cut`].
const BELOW: usize = 0;
const INNER: usize = 1;
const LAYER: usize = 2;
const AFTER: usize = 3;
const SHORTCUT: usize = 4;
const ABOVE: usize = 5;

impl Penultimate {
    /// Cuts a network; nothing where it has no layer of weights below its head, or where that is no matrix. It runs on the CPU.
    ///
    /// # Errors
    /// [`NetError`] naming the first tensor that is missing, misshapen or not finite.
    pub fn new(architecture: &Architecture, state: &StateDict) -> Result<Option<Self>, NetError> {
        architecture.check(state)?;
        let program = architecture.program()?;
        let body = program.split_last().map_or(&[][..], |(_, body)| body);
        let Some(cut) = find(body) else {
            return Ok(None);
        };
        let factors = factors(&cut, state)?;
        let tensor = |name: &str, part: &str| format!("{name}.{part}");
        let layer = cut.part;
        Ok(Some(Self {
            architecture: architecture.clone(),
            join: cut.join,
            first: cut.first,
            window: layer.window,
            tensors: LayerTensors {
                weight: tensor(layer.name, "weight"),
                transposed: false,
                bias: layer.bias.then(|| tensor(layer.name, "bias")),
                shift: cut.norm.map(|norm| (tensor(norm, "bias"), factors.clone())),
            },
            scale: scale(&cut, state, &factors),
            factors,
            pieces: pieces(&cut, state)?,
        }))
    }

    /// The factor between the layer's output and the stream, by channel: 1 where no batch norm follows;
    /// 0 for a channel that the batch norm has as good as switched off.
    pub fn scale(&self) -> &[f32] {
        &self.scale
    }

    /// The name of the layer's weight.
    pub fn weight(&self) -> &str {
        &self.tensors.weight
    }

    /// Where a correction goes.
    pub fn tensors(&self) -> &LayerTensors {
        &self.tensors
    }

    /// Runs samples up to the layer and what its output becomes part of. `progress` is told how many
    /// samples are done.
    ///
    /// # Errors
    /// [`NetError::Data`] when the samples do not fit the network, [`NetError::Backend`] when the
    /// device fails.
    pub fn run(
        &self,
        set: &DataSet,
        preprocessing: &Preprocessing,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Activations, NetError> {
        let inputs = Inputs::new(set, self.architecture.input, preprocessing)?;
        let parts = in_rounds(set.len(), progress, &|batch| {
            let block = self.block(inputs.maps(batch, batch.len()))?;
            self.inside(block)
        })?;
        Ok(self.together(parts))
    }

    /// Runs samples up to the block that the layer closes. `progress` is told how many samples are done.
    ///
    /// # Errors
    /// As [`Penultimate::run`].
    pub fn entrances(
        &self,
        set: &DataSet,
        preprocessing: &Preprocessing,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Entrances, NetError> {
        let inputs = Inputs::new(set, self.architecture.input, preprocessing)?;
        let parts = in_rounds(set.len(), progress, &|batch| {
            self.block(inputs.maps(batch, batch.len()))
        })?;
        Ok(Entrances::together(parts))
    }

    /// What follows from the entrances to the block, as [`Penultimate::run`] has it of the samples.
    ///
    /// # Errors
    /// [`NetError::Backend`] when they do not fit the network, or the device fails.
    pub fn behind(&self, entrances: &Entrances) -> Result<Activations, NetError> {
        let count = entrances.samples();
        let parts = in_rounds(count, &mut |_| (), &|batch| {
            self.inside(entrances.select(batch))
        })?;
        Ok(self.together(parts))
    }

    /// What enters the block that the layer closes.
    fn block(&self, samples: Maps) -> Result<Maps, NetError> {
        let block = self.piece(BELOW, samples)?;
        Ok(if self.first {
            First::positions(&block)
        } else {
            block
        })
    }

    fn inside(&self, block: Maps) -> Result<Activations, NetError> {
        let inputs = self.piece(INNER, block.clone())?;
        let mut stream = self.piece(AFTER, self.piece(LAYER, inputs.clone())?)?;
        if self.join == Join::Sum {
            stream.add(&self.piece(SHORTCUT, block.clone())?, false);
        }
        Ok(Activations {
            inputs,
            stream,
            beside: (self.join == Join::Behind).then_some(block),
            window: self.window,
        })
    }

    /// What one piece of the program makes of a batch.
    fn piece(&self, at: usize, maps: Maps) -> Result<Maps, NetError> {
        forward(&self.pieces[at], maps, 1).map_err(backend)
    }

    fn together(&self, parts: Vec<Activations>) -> Activations {
        let mut parts = parts.into_iter();
        let mut whole = parts.next().unwrap_or_else(|| Activations {
            inputs: Maps::default(),
            stream: Maps::default(),
            beside: None,
            window: self.window,
        });
        for part in parts {
            whole.inputs.append(part.inputs);
            whole.stream.append(part.stream);
            if let (Some(whole), Some(part)) = (&mut whole.beside, part.beside) {
                whole.append(part);
            }
        }
        whole
    }

    /// The features, `[samples, inputs of the head]`, after a correction of the layer; those of the
    /// network as it is without one.
    ///
    /// # Errors
    /// [`NetError::Backend`] when the correction does not fit or a product is refused.
    pub fn features(
        &self,
        activations: &Activations,
        correction: Option<&Correction>,
    ) -> Result<Matrix, NetError> {
        let samples = activations.samples();
        let places: Vec<usize> = (0..samples).collect();
        let parts: Vec<Vec<f32>> = places
            .chunks(BATCH)
            .map(|batch| self.batch_features(&activations.select(batch), correction))
            .collect::<Result<_, _>>()?;
        let values = parts.concat();
        Matrix::new(samples, values.len() / samples.max(1), values).map_err(backend)
    }

    fn batch_features(
        &self,
        activations: &Activations,
        correction: Option<&Correction>,
    ) -> Result<Vec<f32>, NetError> {
        let has_bias = self.tensors.have_bias();
        let stream = activations.corrected(correction, &self.factors, has_bias)?;
        let stream = match &activations.beside {
            Some(beside) => beside.joined(&stream),
            None => stream,
        };
        let threads = rayon::current_num_threads();
        let features = forward(&self.pieces[ABOVE], stream, threads).map_err(backend)?;
        Ok(features.flattened().values)
    }

    /// The tensors of a network's state that a correction changes, with their new values.
    ///
    /// # Errors
    /// [`NetError::Missing`] when one of them is not there.
    pub fn corrected(
        &self,
        state: &StateDict,
        correction: &Correction,
    ) -> Result<StateDict, NetError> {
        self.tensors.corrected(state, correction)
    }
}

/// Runs batches on all threads, in their order.
fn in_rounds<T: Send>(
    samples: usize,
    progress: &mut dyn FnMut(usize),
    run: &(dyn Fn(&[usize]) -> Result<T, NetError> + Sync),
) -> Result<Vec<T>, NetError> {
    let all: Vec<usize> = (0..samples).collect();
    let mut parts = Vec::new();
    for round in all.chunks(BATCH * rayon::current_num_threads()) {
        let done: Vec<T> = round.par_chunks(BATCH).map(run).collect::<Result<_, _>>()?;
        parts.extend(done);
        progress(round.len());
    }
    Ok(parts)
}

/// Weight over deviation of the batch norm behind the layer.
fn factors(cut: &Cut<'_>, state: &StateDict) -> Result<Vec<f32>, NetError> {
    let Some(norm) = cut.norm else {
        return Ok(vec![1.0; cut.part.channels[1]]);
    };
    let weights = Weights::new(state, Purpose::Outputs);
    let (weight, variance) = (
        weights.tensor(norm, "weight")?,
        weights.tensor(norm, "running_var")?,
    );
    let pairs = weight.iter().zip(variance);
    Ok(pairs.map(|(w, v)| w / (v + EPSILON).sqrt()).collect())
}

/// The factors, 0 where the batch norm's weight is next to nothing.
fn scale(cut: &Cut<'_>, state: &StateDict, factors: &[f32]) -> Vec<f32> {
    let gamma = cut
        .norm
        .and_then(|norm| state.get(&format!("{norm}.weight")));
    let on = |at: usize| gamma.is_none_or(|gamma| gamma.values[at].abs() >= LEAST_GAMMA);
    let factors = factors.iter().enumerate();
    factors
        .map(|(at, factor)| if on(at) { *factor } else { 0.0 })
        .collect()
}

/// The pieces of a network, in the order of [`Cut`].
fn pieces(cut: &Cut<'_>, state: &StateDict) -> Result<[Vec<Box<dyn CpuLayer>>; 6], NetError> {
    let programs: [&[Op]; 6] = [
        cut.below,
        cut.inner,
        cut.layer,
        cut.after,
        cut.shortcut,
        cut.above,
    ];
    let weights = Weights::new(state, Purpose::Outputs);
    let mut pieces = [const { Vec::new() }; 6];
    for (layers, program) in pieces.iter_mut().zip(programs) {
        *layers = cpu_layers(program, &weights)?;
    }
    Ok(pieces)
}
