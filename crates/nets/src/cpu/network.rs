//! A network on the CPU.

use rand_chacha::ChaCha8Rng;

use super::input_rows::InputRows;
use super::layer::{Backward, CpuLayer, Record, Sink, Training, forward};
use super::maps::Maps;
use super::weights::{Purpose, Weights};
use crate::architecture::description::Architecture;
use crate::array::StateDict;
use crate::error::{NetError, backend};
use crate::ops::operation::{Op, cpu_layers};

/// The layers of an architecture with their weights.
pub(crate) struct CpuNetwork {
    body: Vec<Box<dyn CpuLayer>>,
    head: Box<dyn CpuLayer>,
}

impl CpuNetwork {
    /// Puts weights in place.
    ///
    /// # Errors
    /// [`NetError`] naming the first tensor that is missing, misshapen or not finite, or the first
    /// operation that this engine does not run.
    pub(crate) fn new(
        architecture: &Architecture,
        state: &StateDict,
        purpose: Purpose,
    ) -> Result<Self, NetError> {
        architecture.check(state)?;
        Self::from_program(&architecture.program()?, &Weights::new(state, purpose))
    }

    /// Puts weights in place that have been checked.
    ///
    /// # Errors
    /// As [`CpuNetwork::new`].
    pub(crate) fn from_program(program: &[Op], weights: &Weights<'_>) -> Result<Self, NetError> {
        let mut body = cpu_layers(program, weights)?;
        let head = body
            .pop()
            .ok_or_else(|| NetError::Backend("a network without a head".into()))?;
        Ok(Self { body, head })
    }

    /// The features (the head's input) of some maps.
    ///
    /// # Errors
    /// [`NetError::Backend`] when a matrix product is refused.
    pub(crate) fn features(&self, input: Maps, threads: usize) -> Result<Maps, NetError> {
        forward(&self.body, input, threads).map_err(backend)
    }

    /// The logits of some features.
    ///
    /// # Errors
    /// As [`CpuNetwork::features`].
    pub(crate) fn logits(&self, features: &Maps) -> Result<Maps, NetError> {
        self.head.forward(features.clone(), 1).map_err(backend)
    }

    /// Runs some maps and keeps everything that the way back needs.
    ///
    /// # Errors
    /// As [`CpuNetwork::features`].
    pub(crate) fn record(&self, input: Maps, threads: usize) -> Result<Recorded<'_>, NetError> {
        self.recorded(input, Record::new(threads))
    }

    /// The same for a step of training, which drops what `dropout` draws.
    ///
    /// # Errors
    /// As [`CpuNetwork::features`].
    pub(crate) fn train(
        &self,
        input: Maps,
        dropout: Option<ChaCha8Rng>,
    ) -> Result<Recorded<'_>, NetError> {
        let parts = training_parts(input.samples);
        self.recorded(input, Record::training(parts, dropout))
    }

    fn recorded(&self, input: Maps, mut record: Record) -> Result<Recorded<'_>, NetError> {
        let features = record.layers(&self.body, input).map_err(backend)?;
        let logits = self
            .head
            .record(features.clone(), &mut record)
            .map_err(backend)?;
        Ok(Recorded {
            network: self,
            record,
            features,
            logits,
        })
    }

    /// Runs some maps and adds rows of what the layers of weights read to `rows`.
    ///
    /// # Errors
    /// As [`CpuNetwork::features`].
    pub(crate) fn watch(
        &self,
        input: Maps,
        threads: usize,
        rows: InputRows,
    ) -> Result<InputRows, NetError> {
        let mut record = Record::watching(threads, rows);
        let features = record.layers(&self.body, input).map_err(backend)?;
        self.head.record(features, &mut record).map_err(backend)?;
        record
            .into_watched()
            .ok_or_else(|| NetError::Backend("a pass lost what it watched".into()))
    }
}

/// The parts that a batch of a training is cut into, as if there were so many threads: the same on every machine,
/// since products of other sizes may add in another order, and the same seed is to give the same weights.
pub(crate) fn training_parts(samples: usize) -> usize {
    (samples / PART).clamp(1, PARTS)
}

/// Samples of a part, at least, and parts at most.
const PART: usize = 8;
const PARTS: usize = 16;

/// A forward pass with everything that the backward pass needs.
pub(crate) struct Recorded<'a> {
    network: &'a CpuNetwork,
    record: Record,
    pub(crate) features: Maps,
    pub(crate) logits: Maps,
}

impl Recorded<'_> {
    /// What a step of training drew and found on its way.
    pub(crate) fn take_training(&mut self) -> Training {
        std::mem::take(&mut self.record.training)
    }

    /// Walks back from the gradient at the logits. Every layer with parameters is handed to `sink`,
    /// the head first, until it says that it has seen enough. Gives the gradient at the input,
    /// unless the pass ended before.
    ///
    /// # Errors
    /// Those of `sink`, and [`NetError::Backend`] when a matrix product is refused.
    pub(crate) fn backward<'s>(
        self,
        residuals: Maps,
        sink: &'s mut Sink<'s>,
    ) -> Result<Option<Maps>, NetError> {
        let mut pass = Backward::new(self.record, sink);
        match self.network.head.backward(residuals, &mut pass)? {
            Some(delta) => pass.layers(&self.network.body, delta),
            None => Ok(None),
        }
    }
}
