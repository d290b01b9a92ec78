//! What a method is to the engine: FIUn and every baseline go through this one door.

use std::collections::{BTreeMap, BTreeSet};

use disinherit_formats::{Dtype, Tensor};
use disinherit_nets::StateDict;
use disinherit_registry::{InnerEdit, MatchedSamples, MethodName, Registry, TensorRef};
use fiun::{AlphaChoice, Selection};
use half::{bf16, f16};
use umig::{Forget, ModelId, Scope, Umig};

use crate::cards::FisherOptions;
use crate::error::EngineError;
use crate::evidence::Evidence;
use crate::model::LoadedModel;
use crate::runner::Runner;
use crate::work::Work;

/// A way to make models forget.
///
/// The engine plans, opens every touched model once, executes the tasks, keeps what is finished as
/// drafts, and publishes. A method says which tasks there are and what one of them makes.
pub trait Method: Sync {
    /// Its name.
    fn name(&self) -> MethodName;

    /// Everything that decides what its tasks make, for telling the drafts of different runs apart.
    ///
    /// # Errors
    /// [`EngineError`] when the settings cannot be written down.
    fn settings(&self) -> Result<serde_json::Value, EngineError>;

    /// Refuses settings and requests that it does not serve, before anything is computed.
    ///
    /// # Errors
    /// [`EngineError`] with the reason.
    fn check(&self, forget: &Forget) -> Result<(), EngineError>;

    /// Whether it works on training data, so that a run without data is refused.
    fn needs_data(&self) -> bool {
        true
    }

    /// The Fisher information that its edits read; nothing for a method that reads none.
    fn fisher(&self) -> Option<&FisherOptions> {
        None
    }

    /// The models as it sees them: those of the request, or each alone for a method that knows of no
    /// inheritance.
    fn scope(&self, scope: &Scope) -> Scope {
        scope.clone()
    }

    /// Whether descendants copy what it changes in the initial models ([`Method::difference`]).
    fn copies_differences(&self) -> bool {
        false
    }

    /// The touched models whose edits must be finished before that of `model` begins.
    fn waits_for(&self, _model: &ModelId, _graph: &Umig, _scope: &Scope) -> BTreeSet<ModelId> {
        BTreeSet::new()
    }

    /// What a stage of edits is for, in words; `level` counts from 0, each level waits for the ones before.
    fn purpose(&self, _level: usize) -> &'static str {
        "edit every touched model"
    }

    /// Whether the edit of a model goes below its head, for which it reads the model's own training data,
    /// or what its FIM card keeps of it; `runner` runs networks elsewhere, where something does, and `described`
    /// says whether the card has activation statistics.
    fn edits_features(
        &self,
        _forget: &Forget,
        _model: &LoadedModel,
        _runner: Option<&dyn Runner>,
        _described: bool,
    ) -> bool {
        false
    }

    /// For how many steps an edit that goes below the head may train the network's last stage at most.
    fn last_stage_steps(&self, _model: &LoadedModel) -> Option<usize> {
        None
    }

    /// An edit that goes less deep than one that turned out too costly, where there is one; `why` says what
    /// that one costs.
    ///
    /// # Errors
    /// [`EngineError`] when it fails.
    fn shallower(
        &self,
        _work: &Work<'_>,
        _model: &LoadedModel,
        _edit: &Edit,
        _why: String,
    ) -> Result<Option<Edit>, EngineError> {
        Ok(None)
    }

    /// Whether it trains on all of a model's retained samples, so that none of them can tell what it
    /// costs: that is measured on held-out ones then. Of other methods' edits, which read the samples
    /// that [`Work`] hands out, it is measured on training samples kept apart from them.
    fn learns_retained(&self) -> bool {
        false
    }

    /// Whether edits run beside each other. A method that trains uses every core for one model.
    fn runs_in_parallel(&self) -> bool {
        false
    }

    /// Samples that an edit's strength is chosen on; collected for one model after the other, since
    /// a forward pass uses every core.
    ///
    /// # Errors
    /// [`EngineError`] when the data does not fit the model.
    fn evidence(
        &self,
        _work: &Work<'_>,
        _model: &ModelId,
    ) -> Result<Option<Evidence>, EngineError> {
        Ok(None)
    }

    /// What changes in an initial model's weights, for descendants to copy.
    ///
    /// # Errors
    /// [`EngineError`] when it fails, or the method has no such step.
    fn difference(&self, _work: &Work<'_>, model: &LoadedModel) -> Result<StateDict, EngineError> {
        Err(EngineError::Internal(format!(
            "`{}` computes no difference that descendants of `{}` could copy",
            self.name(),
            model.id()
        )))
    }

    /// Edits one model.
    ///
    /// # Errors
    /// [`EngineError`] when the model cannot be edited; the whole request fails then.
    fn edit(
        &self,
        work: &Work<'_>,
        model: &LoadedModel,
        evidence: Option<&Evidence>,
    ) -> Result<Edit, EngineError>;
}

/// What an edit made of one model.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    /// The tensors that are not what they were, in the model's own number format.
    pub changed: BTreeMap<String, Tensor>,
    /// Tensors that are not what they were either, and too large to be held: they are in the registry already, or
    /// would be but for a dry run.
    pub stored: BTreeMap<String, TensorRef>,
    /// What was done to each tensor.
    pub tensors: BTreeMap<String, Selection>,
    /// The threshold, for a method that dampens.
    pub alpha: Option<f64>,
    /// The dampening constant, for a method that dampens.
    pub lambda: Option<f64>,
    /// What they were chosen from, where they were chosen from data.
    pub choice: Option<AlphaChoice>,
    /// Labels of the model that no initial model has.
    pub unmatched: Vec<String>,
    /// What was done below the head; nothing where that was not asked for.
    pub inner: Option<InnerEdit>,
    /// How single samples were brought to the certainty of unseen ones; nothing for other methods.
    pub matched: Option<MatchedSamples>,
}

impl Edit {
    /// The edit that turns a model's weights into `state`.
    ///
    /// # Errors
    /// [`EngineError`] when a tensor of the model cannot be read.
    pub fn from_state(
        registry: &Registry,
        model: &LoadedModel,
        state: &StateDict,
    ) -> Result<Self, EngineError> {
        let mut edit = Self::default();
        for (name, array) in state {
            // A head without a bias runs as one with a bias of zeros, which is not its own.
            if !model.manifest.tensors.contains(name) {
                continue;
            }
            let before = model.tensor(registry, name)?;
            let after = in_format(before.dtype, &before.shape, &array.values);
            let (Some(old), Some(new)) = (before.to_f32(), after.to_f32()) else {
                continue;
            };
            let count = old.iter().zip(&new).filter(|(a, b)| a != b).count() as u64;
            let selection = Selection {
                parameters: new.len() as u64,
                changed: count,
                ..Selection::default()
            };
            edit.tensors.insert(name.clone(), selection);
            if count > 0 {
                edit.changed.insert(name.clone(), after);
            }
        }
        Ok(edit)
    }
}

/// Values in a model's own number format; in single precision where that is none of 16 bits.
fn in_format(dtype: Dtype, shape: &[usize], values: &[f32]) -> Tensor {
    let bytes: Vec<u8> = match dtype {
        Dtype::F16 => {
            let halves = values.iter().map(|v| f16::from_f32(*v));
            halves.flat_map(f16::to_le_bytes).collect()
        }
        Dtype::BF16 => {
            let halves = values.iter().map(|v| bf16::from_f32(*v));
            halves.flat_map(bf16::to_le_bytes).collect()
        }
        _ => return Tensor::from_f32(shape, values),
    };
    Tensor {
        dtype,
        shape: shape.to_vec(),
        bytes,
    }
}
