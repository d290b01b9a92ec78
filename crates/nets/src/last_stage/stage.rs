//! Where the last stage is, and what it makes of samples.

use disinherit_data::DataSet;
use fiun::{FisherError, Matrix, MatrixRef};
use rayon::prelude::*;

use crate::architecture::description::Architecture;
use crate::array::StateDict;
use crate::cpu::layer::{CpuLayer, forward};
use crate::cpu::maps::Maps;
use crate::cpu::weights::{Purpose, Weights};
use crate::error::{NetError, backend};
use crate::inputs::Inputs;
use crate::ops::operation::{Op, cpu_layers, output};
use crate::penultimate::entrances::Entrances;
use crate::penultimate::find::{Join, find};
use crate::preprocessing::Preprocessing;

/// Samples run at a time.
const BATCH: usize = 64;

/// The layers of an image network from the last one that changes the size of its maps, up to what the penultimate
/// layer writes into (the stream), and from there to the features: of a ResNet the last stage, of a plain
/// network the layers without maps.
pub struct LastStage {
    pub(super) architecture: Architecture,
    pub(super) program: Vec<Op>,
    /// The first operation of the stage, and the first one above the stream.
    pub(super) bounds: [usize; 2],
}

/// The layers of the stage, those above the stream, and the head.
pub(super) struct Pieces {
    pub(super) stage: Vec<Box<dyn CpuLayer>>,
    pub(super) above: Vec<Box<dyn CpuLayer>>,
    pub(super) head: Box<dyn CpuLayer>,
}

/// What a network makes of what enters its last stage.
pub(super) struct Seen {
    pub(super) stream: Maps,
    pub(super) features: Matrix,
    pub(super) logits: Matrix,
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
            bounds: [start, end],
            program,
        }))
    }

    /// The tensors that a refinement changes: weights of layers, and biases; not the factors of batch norms.
    pub fn tensors(&self) -> Vec<String> {
        let [start, end] = self.bounds;
        let all = self.program[start..end].iter().flat_map(Op::tensors);
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
        let below = cpu_layers(&self.program[..self.bounds[0]], &weights)?;
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

    /// The features of samples, from what enters the stage: `[samples, inputs of the head]`.
    ///
    /// # Errors
    /// [`NetError::Missing`] when a tensor is not there, [`NetError::Backend`] when a product is refused.
    pub fn features(&self, state: &StateDict, entrances: &Entrances) -> Result<Matrix, NetError> {
        Ok(self.run(state, entrances)?.features)
    }

    pub(super) fn pieces(&self, state: &StateDict, purpose: Purpose) -> Result<Pieces, NetError> {
        let weights = Weights::new(state, purpose);
        let [start, end] = self.bounds;
        let last = self.program.len() - 1;
        let head = cpu_layers(&self.program[last..], &weights)?.pop();
        Ok(Pieces {
            stage: cpu_layers(&self.program[start..end], &weights)?,
            above: cpu_layers(&self.program[end..last], &weights)?,
            head: head.ok_or_else(|| NetError::Backend("a network without a head".into()))?,
        })
    }

    pub(super) fn run(&self, state: &StateDict, entrances: &Entrances) -> Result<Seen, NetError> {
        let pieces = self.pieces(state, Purpose::Outputs)?;
        let all: Vec<usize> = (0..entrances.samples()).collect();
        let done = all.par_chunks(BATCH).map(|batch| {
            let written = forward(&pieces.stage, entrances.select(batch), 1)?;
            let above = forward(&pieces.above, written.clone(), 1)?.flattened();
            let said = pieces.head.forward(above.clone(), 1)?;
            Ok((written, above, said))
        });
        let done: Vec<_> = done.collect::<Result<_, FisherError>>().map_err(backend)?;
        let mut stream = Maps::default();
        let (mut features, mut logits) = (Vec::new(), Vec::new());
        for (written, above, said) in done {
            features.extend(above.values);
            logits.extend(said.values);
            if stream.samples == 0 {
                stream = written;
            } else {
                stream.append(written);
            }
        }
        let matrix = |values: Vec<f32>| {
            Matrix::new(all.len(), values.len() / all.len().max(1), values).map_err(backend)
        };
        Ok(Seen {
            features: matrix(features)?,
            logits: matrix(logits)?,
            stream,
        })
    }
}

impl Seen {
    /// The stream, `[samples * positions, channels]`.
    pub(super) fn rows(&self) -> Result<MatrixRef<'_>, NetError> {
        let channels = self.stream.channels.max(1);
        let rows = self.stream.values.len() / channels;
        MatrixRef::new(rows, channels, &self.stream.values).map_err(backend)
    }
}
