//! Where the last stage is, and what it makes of samples.

use disinherit_data::DataSet;
use fiun::{FisherError, Matrix, MatrixRef};
use rayon::prelude::*;

use super::pieces::{Pieces, Views};
use crate::architecture::description::Architecture;
use crate::array::StateDict;
use crate::cpu::layer::forward;
use crate::cpu::maps::Maps;
use crate::cpu::weights::{Purpose, Weights};
use crate::error::{NetError, backend};
use crate::inputs::Inputs;
use crate::ops::operation::{Op, cpu_layers, output};
use crate::penultimate::entrances::Entrances;
use crate::penultimate::find::{Cut, Join, find};
use crate::preprocessing::Preprocessing;

/// Samples run at a time.
const BATCH: usize = 64;

/// The layers of an image network from the last one that changes the size of its maps, up to what the penultimate
/// layer writes into (the stream), and from there to the features: of a ResNet the last stage, of a plain
/// network the layers without maps.
pub struct LastStage {
    pub(super) architecture: Architecture,
    pub(super) program: Vec<Op>,
    /// The first operation of the stage.
    pub(super) start: usize,
}

/// What tells classes apart behind and within the last stage, `[samples, channels]` each.
#[derive(Debug, Clone)]
pub struct LastViews {
    /// The features: what enters the head.
    pub features: Matrix,
    /// What enters the penultimate layer, the mean over the map for a convolution; nothing where the stage has no
    /// weights before that layer, so that it cannot change.
    pub inner: Option<Matrix>,
}

impl LastStage {
    /// The last stage of a network; nothing where the network works on sequences, or where its last channels are put beside others (dense
    /// connections), so that there is no stream.
    ///
    /// # Errors
    /// [`NetError`] for an architecture that does not fit its input.
    pub fn for_architecture(architecture: &Architecture) -> Result<Option<Self>, NetError> {
        if architecture.kind.is_sequential() {
            return Ok(None);
        }
        let program = architecture.program()?;
        let body = program.split_last().map_or(&[][..], |(_, body)| body);
        let Some(cut) = find(body).filter(|cut| cut.join != Join::Behind) else {
            return Ok(None);
        };
        let end = body.len() - cut.above.len();
        let input = architecture.input.maps();
        let size = |ops: &[Op]| output(ops, input).map(|shape| [shape.height, shape.width]);
        let last = size(&body[..end]);
        let start = (0..end).find(|at| (*at..end).all(|at| size(&body[..=at]) == last));
        Ok(start.map(|start| Self {
            architecture: architecture.clone(),
            start,
            program,
        }))
    }

    /// The network without its head, cut at its penultimate layer.
    pub(super) fn cut(&self) -> Option<Cut<'_>> {
        find(self.program.split_last().map_or(&[][..], |(_, body)| body))
    }

    /// The tensors that a refinement changes: weights of layers, and biases; not the factors of batch norms.
    pub fn tensors(&self) -> Vec<String> {
        let above = self.cut().map_or(0, |cut| cut.above.len());
        let end = self.program.len() - 1 - above;
        let all = self.program[self.start..end].iter().flat_map(Op::tensors);
        all.filter(|(name, shape)| shape.len() > 1 || name.ends_with(".bias"))
            .map(|(name, _)| name)
            .collect()
    }

    /// What enters the stage of some samples. `progress` is told how many are done.
    ///
    /// # Errors
    /// [`NetError`] when the samples do not fit the network.
    pub fn entrances(
        &self,
        state: &StateDict,
        set: &DataSet,
        preprocessing: &Preprocessing,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Entrances, NetError> {
        let inputs = Inputs::new(set, self.architecture.input, preprocessing)?;
        let weights = Weights::new(state, Purpose::Outputs);
        let below = cpu_layers(&self.program[..self.start], &weights)?;
        let all: Vec<usize> = (0..set.len()).collect();
        let mut parts = Vec::new();
        for round in all.chunks(BATCH * rayon::current_num_threads()) {
            let done = round
                .par_chunks(BATCH)
                .map(|batch| forward(&below, inputs.maps(batch, batch.len()), 1));
            let done: Vec<Maps> = done.collect::<Result<_, _>>().map_err(backend)?;
            parts.extend(done);
            progress(round.len());
        }
        Ok(Entrances::together(parts))
    }

    /// The layers, with these weights.
    pub(super) fn pieces(&self, state: &StateDict, purpose: Purpose) -> Result<Pieces, NetError> {
        Pieces::new(&self.program, self.start, &Weights::new(state, purpose))
    }

    /// What tells classes apart in samples, from what enters the stage.
    ///
    /// # Errors
    /// [`NetError::Missing`] when a tensor is not there, [`NetError::Backend`] when a product is refused.
    pub fn views(&self, state: &StateDict, entrances: &Entrances) -> Result<LastViews, NetError> {
        let views = self.run(state, entrances)?;
        Ok(LastViews {
            features: matrix(views.features)?,
            inner: match self.changes_inner() {
                true => Some(matrix(views.inner.means())?),
                false => None,
            },
        })
    }

    /// Whether the stage has weights before the penultimate layer.
    pub(super) fn changes_inner(&self) -> bool {
        self.cut().is_some_and(|cut| {
            let mut before = cut.below[self.start..].iter().chain(cut.inner);
            before.any(|op| !op.tensors().is_empty())
        })
    }

    pub(super) fn run(&self, state: &StateDict, entrances: &Entrances) -> Result<Views, NetError> {
        let pieces = self.pieces(state, Purpose::Outputs)?;
        let all: Vec<usize> = (0..entrances.samples()).collect();
        let done = all.par_chunks(BATCH);
        let done = done.map(|batch| pieces.forward(entrances.select(batch)));
        let done: Vec<Views> = done.collect::<Result<_, FisherError>>().map_err(backend)?;
        let mut views = Views::default();
        done.into_iter().for_each(|more| views.append(more));
        Ok(views)
    }
}

/// Vectors as a matrix.
pub(super) fn matrix(vectors: Maps) -> Result<Matrix, NetError> {
    Matrix::new(vectors.samples, vectors.channels, vectors.values).map_err(backend)
}

/// The channels at each position, `[samples * positions, channels]`.
pub(super) fn positions(maps: &Maps) -> Result<MatrixRef<'_>, NetError> {
    let channels = maps.channels.max(1);
    MatrixRef::new(maps.values.len() / channels, channels, &maps.values).map_err(backend)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use disinherit_data::ImageShape;

    use super::*;
    use crate::architecture::initial::initial_state;
    use crate::architecture::kind::Kind;
    use crate::cpu::layer::Tapped;

    /// Numbers that are not alike, between -1 and 1.
    fn mixed(maps: &Maps, by: f32) -> Maps {
        let wave = |at: usize| ((at as f32 + 1.0) * by).sin();
        maps.with((0..maps.values.len()).map(wave).collect())
    }

    fn product(a: &Maps, b: &Maps) -> f64 {
        let pairs = a.values.iter().zip(&b.values);
        pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    /// The gradients of a linear function of all that is written, against central differences.
    #[test]
    fn the_way_back_takes_up_what_is_asked_of_the_middle_of_a_block() {
        let shape = ImageShape {
            channels: 1,
            height: 8,
            width: 8,
        };
        let network = Architecture::new(Kind::ResNet8, shape, 4);
        let stage = LastStage::for_architecture(&network).unwrap().unwrap();
        let state = initial_state(&network, 7).unwrap();
        let entered = mixed(&Maps::zeros(2, [4, 4], 32), 0.37);
        let run = |state: &StateDict| {
            let pieces = stage.pieces(state, Purpose::Gradients).unwrap();
            pieces.record(entered.clone(), 1).unwrap()
        };
        let (views, records) = run(&state);
        let ask = Views {
            inner: mixed(&views.inner, 0.7),
            stream: mixed(&views.stream, 1.1),
            features: mixed(&views.features, 1.7),
            logits: mixed(&views.logits, 2.3),
        };
        let value = |state: &StateDict| {
            let (now, _) = run(state);
            product(&now.inner, &ask.inner)
                + product(&now.stream, &ask.stream)
                + product(&now.features, &ask.features)
                + product(&now.logits, &ask.logits)
        };
        let mut found = BTreeMap::new();
        let mut collect = |layer: Tapped<'_>| {
            for gradient in (layer.gradients)().unwrap() {
                found.insert(
                    format!("{}.{}", layer.name, gradient.part),
                    gradient.into_pytorch(),
                );
            }
            Ok(true)
        };
        let pieces = stage.pieces(&state, Purpose::Gradients).unwrap();
        pieces.backward(records, ask.clone(), &mut collect).unwrap();
        for name in stage.tensors() {
            let gradient = &found[&name];
            let scale = gradient.iter().fold(1.0f32, |most, g| most.max(g.abs()));
            for at in [0, gradient.len() / 3, gradient.len() - 1] {
                let moved = |by: f32| {
                    let mut state = state.clone();
                    state.get_mut(&name).unwrap().values[at] += by;
                    value(&state)
                };
                let step = 1e-3;
                let wanted = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
                let away = (f64::from(gradient[at]) - wanted).abs();
                assert!(
                    away < 0.02 * f64::from(scale),
                    "{name} {at}: {} {wanted}",
                    gradient[at]
                );
            }
        }
    }
}
