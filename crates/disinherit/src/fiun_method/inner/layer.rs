//! The penultimate layer of a model, wherever its network runs.

use disinherit_data::DataSet;
use disinherit_nets::{Activations, Entrances, StateDict};
use fiun::{Correction, Matrix};

use crate::error::EngineError;
use crate::progress::Stage;
use crate::refusal::Refusal;

/// Samples that were run.
pub(super) struct Seen {
    pub(super) set: DataSet,
    /// What the layer reads and writes of them.
    pub(super) activations: Activations,
}

/// The layer below the head that is edited.
pub(super) trait Layer {
    /// The name of its weight.
    fn weight(&self) -> &str;

    /// The factor between its output and the stream, by channel; 0 for a channel that is as good as
    /// switched off.
    fn scale(&self) -> &[f32];

    /// Runs samples up to what its output becomes part of.
    fn run(&self, set: DataSet, stage: &dyn Stage) -> Result<Seen, Refusal>;

    /// The features of samples that were run, `[places, inputs of the head]`, after a correction of the
    /// layer; those of the network as it is without one.
    fn features(
        &self,
        seen: &Seen,
        places: &[usize],
        correction: Option<&Correction>,
    ) -> Result<Matrix, EngineError>;

    /// The tensors that a correction changes, with their new values.
    fn corrected(&self, correction: &Correction) -> Result<StateDict, EngineError>;

    /// The names of the tensors that a correction changes.
    fn tensors(&self) -> Vec<&str>;

    /// The network's weights, where it runs in this program.
    fn state(&self) -> Option<&StateDict> {
        None
    }

    /// Whether all that is known of it is what the model's card says: no samples can be run.
    fn is_described(&self) -> bool {
        false
    }

    /// What enters the layer's block of some samples; nothing of a network that runs elsewhere, or
    /// whose layer does not follow from that.
    fn entrances(&self, _set: &DataSet) -> Result<Option<Entrances>, EngineError> {
        Ok(None)
    }

    /// What follows from draws of what enters the layer's block; nothing of a network that runs elsewhere.
    fn behind(&self, _entrances: &Entrances) -> Result<Option<Activations>, Refusal> {
        Ok(None)
    }
}
