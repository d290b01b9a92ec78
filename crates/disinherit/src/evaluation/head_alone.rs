//! Relearning of a network that is not trained here: its features stay as they are, and its head is
//! trained on them.

use disinherit_data::{DataSet, Samples};
use disinherit_nets::{Architecture, StateDict};
use fiun::Matrix;

use super::evaluation_set::{EvalSplit, EvaluationSet, Observation};
use crate::error::EngineError;
use crate::features::as_features;

/// A head with the samples of an evaluation set as its network makes features of them.
pub(super) struct HeadAlone {
    pub(super) set: EvaluationSet,
    pub(super) state: StateDict,
}

/// The head of a network that runs elsewhere; nothing of one that is trained here, or where its features
/// are not at hand.
pub(super) fn head_alone(
    set: &EvaluationSet,
    state: &StateDict,
    seen: &Observation,
) -> Result<Option<HeadAlone>, EngineError> {
    let pairs = [(&set.own, &seen.own), (&set.heldout, &seen.heldout)];
    let known = |(split, captured): &(&EvalSplit, &disinherit_nets::Capture)| {
        !split.set.is_empty() && captured.features.rows() == split.set.len()
    };
    if *set.own.set.samples() != Samples::External || !pairs.iter().all(known) {
        return Ok(None);
    }
    let mut model = set.model.clone();
    let outputs = model.architecture.classes;
    let width = seen.own.features.cols();
    model.architecture = Architecture::for_head(model.manifest.head.clone(), width, outputs);
    let head = model.head_tensors();
    let state = state.iter().filter(|(name, _)| head.contains(name));
    let state = state.map(|(name, array)| (name.clone(), array.clone()));
    Ok(Some(HeadAlone {
        state: state.collect(),
        set: EvaluationSet {
            own: split_of(&set.own, &seen.own.features)?,
            heldout: split_of(&set.heldout, &seen.heldout.features)?,
            provenance: set.provenance.clone(),
            fresh: set.fresh.clone(),
            model,
        },
    }))
}

fn split_of(split: &EvalSplit, features: &Matrix) -> Result<EvalSplit, EngineError> {
    let set: DataSet = as_features(&split.set, features)?;
    Ok(EvalSplit {
        set,
        rows: split.rows.clone(),
        forget: split.forget.clone(),
        retain: split.retain.clone(),
    })
}
