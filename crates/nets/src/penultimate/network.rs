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
use crate::compute::Compute;
use crate::cpu::layer::{CpuLayer, forward};
use crate::cpu::maps::Maps;
use crate::cpu::weights::{Purpose, Weights};
use crate::cpu::window::Window;
#[cfg(feature = "burn")]
use crate::device::pass::{Flow, Pass};
#[cfg(feature = "burn")]
use crate::device::programs::DevicePrograms;
#[cfg(feature = "burn")]
use crate::device::transfer::read;
use crate::error::{NetError, backend};
use crate::inputs::Inputs;
use crate::ops::batch_norm::EPSILON;
use crate::ops::operation::{Op, cpu_layers};
use crate::preprocessing::Preprocessing;

/// Samples run at a time.
const BATCH: usize = 64;

/// A network with its weights in place, cut at its penultimate layer.
pub struct Penultimate {
    architecture: Architecture,
    engine: Engine,
    join: Join,
    #[cfg_attr(not(feature = "burn"), allow(dead_code))]
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

enum Engine {
    Cpu([Vec<Box<dyn CpuLayer>>; 6]),
    #[cfg(feature = "burn")]
    Device(Box<DevicePrograms<6>>),
}

impl Penultimate {
    /// Cuts a network; nothing where it has no layer of weights below its head, or where that is no
    /// matrix. Image networks run on the CPU whatever `compute` says.
    ///
    /// # Errors
    /// [`NetError`] naming the first tensor that is missing, misshapen or not finite.
    pub fn new(
        architecture: &Architecture,
        state: &StateDict,
        compute: Compute,
    ) -> Result<Option<Self>, NetError> {
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
            engine: engine(&cut, architecture, state, compute)?,
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
        let parts = match &self.engine {
            Engine::Cpu(pieces) => in_rounds(set.len(), progress, &|batch| {
                let block = piece(pieces, BELOW, inputs.maps(batch, batch.len()))?;
                self.on_cpu(pieces, block)
            })?,
            #[cfg(feature = "burn")]
            Engine::Device(pieces) => one_by_one(set.len(), progress, &|batch| {
                let input = inputs.batch(batch, &pieces.device, None);
                let mut pass = pieces.pass(&input);
                let block = pieces.run(BELOW, &mut pass, input);
                self.on_device(pieces, &mut pass, block)
            })?,
        };
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
        let parts = match &self.engine {
            Engine::Cpu(pieces) => in_rounds(set.len(), progress, &|batch| {
                piece(pieces, BELOW, inputs.maps(batch, batch.len()))
            })?,
            #[cfg(feature = "burn")]
            Engine::Device(pieces) => one_by_one(set.len(), progress, &|batch| {
                let input = inputs.batch(batch, &pieces.device, None);
                let mut pass = pieces.pass(&input);
                let block = pieces.run(BELOW, &mut pass, input);
                self.position(block)
            })?,
        };
        Ok(Entrances::together(parts))
    }

    /// What follows from the entrances to the block, as [`Penultimate::run`] has it of the samples.
    ///
    /// # Errors
    /// [`NetError::Backend`] when they do not fit the network, or the device fails.
    pub fn behind(&self, entrances: &Entrances) -> Result<Activations, NetError> {
        let count = entrances.samples();
        let parts = match &self.engine {
            Engine::Cpu(pieces) => in_rounds(count, &mut |_| (), &|batch| {
                self.on_cpu(pieces, entrances.select(batch))
            })?,
            #[cfg(feature = "burn")]
            Engine::Device(pieces) => one_by_one(count, &mut |_| (), &|batch| {
                let block = self.flow(entrances.select(batch), &pieces.device);
                let mut pass = pieces.pass(&block);
                self.on_device(pieces, &mut pass, block)
            })?,
        };
        Ok(self.together(parts))
    }

    fn on_cpu(
        &self,
        pieces: &[Vec<Box<dyn CpuLayer>>; 6],
        block: Maps,
    ) -> Result<Activations, NetError> {
        let inputs = piece(pieces, INNER, block.clone())?;
        let mut stream = piece(pieces, AFTER, piece(pieces, LAYER, inputs.clone())?)?;
        if self.join == Join::Sum {
            stream.add(&piece(pieces, SHORTCUT, block.clone())?, false);
        }
        Ok(Activations {
            inputs,
            stream,
            beside: (self.join == Join::Behind).then_some(block),
            window: self.window,
        })
    }

    #[cfg(feature = "burn")]
    fn on_device(
        &self,
        pieces: &DevicePrograms<6>,
        pass: &mut Pass<'_>,
        block: Flow,
    ) -> Result<Activations, NetError> {
        let inputs = pieces.run(INNER, pass, block.clone());
        let written = pieces.run(LAYER, pass, inputs.clone());
        let written = pieces.run(AFTER, pass, written);
        let mut stream = self.position(written)?;
        if self.join == Join::Sum {
            let around = pieces.run(SHORTCUT, pass, block);
            stream.add(&self.position(around)?, false);
        }
        Ok(Activations {
            inputs: self.position(inputs)?,
            stream,
            beside: None,
            window: Window::POINT,
        })
    }

    /// Vectors on the device; where one position of a sequence leads to the features, a sequence of it.
    #[cfg(feature = "burn")]
    fn flow(&self, maps: Maps, device: &burn::tensor::Device) -> Flow {
        let shape = [maps.samples, maps.channels];
        let data = burn::tensor::TensorData::new(maps.values, shape);
        let vectors = burn::tensor::Tensor::<2>::from_data(data, device);
        if self.first {
            Flow::Sequence(vectors.reshape([shape[0], 1, shape[1]]))
        } else {
            Flow::Vectors(vectors)
        }
    }

    /// Vectors, or of a sequence the position that leads to the features.
    #[cfg(feature = "burn")]
    fn position(&self, flow: Flow) -> Result<Maps, NetError> {
        let vectors = match flow {
            Flow::Sequence(x) if self.first => {
                let [batch, _, values] = x.dims();
                x.narrow(1, 0, 1).reshape([batch, values])
            }
            Flow::Vectors(x) => x,
            _ => {
                return Err(NetError::Backend(
                    "the penultimate layer writes every position of a sequence".into(),
                ));
            }
        };
        let [samples, channels] = vectors.dims();
        Ok(Maps {
            samples,
            size: [1, 1],
            channels,
            values: read(vectors)?,
        })
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
        match &self.engine {
            Engine::Cpu(pieces) => {
                let stream = match &activations.beside {
                    Some(beside) => beside.joined(&stream),
                    None => stream,
                };
                let threads = rayon::current_num_threads();
                let features = forward(&pieces[ABOVE], stream, threads).map_err(backend)?;
                Ok(features.flattened().values)
            }
            #[cfg(feature = "burn")]
            Engine::Device(pieces) => {
                let shape = [stream.samples, stream.channels];
                let data = burn::tensor::TensorData::new(stream.values, shape);
                let input = Flow::Vectors(burn::tensor::Tensor::from_data(data, &pieces.device));
                let mut pass: Pass<'_> = pieces.pass(&input);
                read(pieces.run(ABOVE, &mut pass, input).vectors())
            }
        }
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

/// What one piece of a program makes of a batch.
fn piece(pieces: &[Vec<Box<dyn CpuLayer>>; 6], at: usize, maps: Maps) -> Result<Maps, NetError> {
    forward(&pieces[at], maps, 1).map_err(backend)
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

/// Runs one batch after the other, on a device that has threads of its own.
#[cfg(feature = "burn")]
fn one_by_one<T>(
    samples: usize,
    progress: &mut dyn FnMut(usize),
    run: &dyn Fn(&[usize]) -> Result<T, NetError>,
) -> Result<Vec<T>, NetError> {
    let all: Vec<usize> = (0..samples).collect();
    let mut parts = Vec::new();
    for batch in all.chunks(BATCH) {
        parts.push(run(batch)?);
        progress(batch.len());
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

fn engine(
    cut: &Cut<'_>,
    architecture: &Architecture,
    state: &StateDict,
    compute: Compute,
) -> Result<Engine, NetError> {
    let pieces: [&[Op]; 6] = [
        cut.below,
        cut.inner,
        cut.layer,
        cut.after,
        cut.shortcut,
        cut.above,
    ];
    if architecture.kind.is_sequential() {
        of_device(pieces, architecture, state, compute)
    } else {
        of_cpu(pieces, state)
    }
}

#[cfg(feature = "burn")]
fn of_device(
    pieces: [&[Op]; 6],
    _architecture: &Architecture,
    state: &StateDict,
    compute: Compute,
) -> Result<Engine, NetError> {
    let programs = DevicePrograms::new(pieces, state, compute.device())?;
    Ok(Engine::Device(Box::new(programs)))
}

#[cfg(not(feature = "burn"))]
fn of_device(
    _pieces: [&[Op]; 6],
    architecture: &Architecture,
    _state: &StateDict,
    _compute: Compute,
) -> Result<Engine, NetError> {
    Err(NetError::no_sequences(architecture.kind))
}

fn of_cpu(pieces: [&[Op]; 6], state: &StateDict) -> Result<Engine, NetError> {
    let weights = Weights::new(state, Purpose::Outputs);
    let mut layers = [const { Vec::new() }; 6];
    for (layers, ops) in layers.iter_mut().zip(pieces) {
        *layers = cpu_layers(ops, &weights)?;
    }
    Ok(Engine::Cpu(layers))
}
