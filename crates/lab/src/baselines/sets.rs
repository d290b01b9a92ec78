//! The forget and retain sets of one touched model.

use std::collections::{BTreeMap, BTreeSet};

use disinherit::progress::Progress;
use disinherit::provenance::{forget_mask, own_data};
use disinherit::{EngineError, Hint, LoadedModel, Work};
use disinherit_data::DataSet;
use disinherit_nets::{Compute, Network, StateDict, capture};
use fiun::Matrix;
use umig::Forget;

use super::kind::MethodKind;

/// A model that is to forget.
pub(super) struct Sets {
    pub(super) model: LoadedModel,
    pub(super) state: StateDict,
    /// Its own training data without the forget data.
    pub(super) retain: DataSet,
    pub(super) retain_rows: Vec<u32>,
    /// Its own forget data; where it has none, that of the initial models that reach it.
    pub(super) forget: DataSet,
    pub(super) forget_rows: Vec<u32>,
    /// The head's rows of forgotten classes.
    pub(super) forgotten: Vec<u32>,
}

impl Sets {
    /// The forget and retain sets of a model, from the data of the request.
    pub(super) fn find(
        work: &Work<'_>,
        model: &LoadedModel,
        method: MethodKind,
    ) -> Result<Self, EngineError> {
        let (id, forget) = (model.id(), work.forget());
        let own = own_data(model.learned(), &work.splits()?.train)?;
        let mask = forget_mask(forget, &own, &model.learned().training)?;
        let pick = |wanted: bool| {
            let picked: Vec<usize> = (0..own.len()).filter(|&i| mask[i] == wanted).collect();
            model.known(&own.select(&picked))
        };
        let retain = pick(false);
        if retain.is_empty() && !work.is_retired(id) {
            return Err(EngineError::NothingRetained(format!(
                "of the data given, `{id}` was trained on nothing but {forget}; `{method}` works on \
                 retained training data"
            )));
        }
        let mut forget_set = pick(true);
        if forget_set.is_empty() {
            forget_set = work.forget_reaching(model)?;
        }
        if !model.has_bias() {
            return Err(EngineError::Unsupported {
                reason: format!("the head of `{id}` has no bias, and `{method}` would give it one"),
                hint: Some(Hint::UseFiun),
            });
        }
        Ok(Self {
            state: model.state(work.registry())?,
            retain_rows: model.rows(&retain)?,
            forget_rows: model.rows(&forget_set)?,
            retain,
            forget: forget_set,
            forgotten: forgotten_rows(forget, model),
            model: model.clone(),
        })
    }
}

/// The head's rows of forgotten classes.
fn forgotten_rows(forget: &Forget, model: &LoadedModel) -> Vec<u32> {
    match forget {
        Forget::Classes(labels) => (0u32..)
            .zip(&model.manifest.labels)
            .filter(|(_, label)| labels.contains(*label))
            .map(|(row, _)| row)
            .collect(),
        _ => Vec::new(),
    }
}

impl Sets {
    /// Refuses a method that needs forget data where there is none.
    pub(super) fn need_forget(&self, method: MethodKind) -> Result<(), EngineError> {
        if self.forget.is_empty() {
            return Err(EngineError::NeedsData {
                why: format!(
                    "`{method}` works on the forget data, and the data given has none that reached \
                     `{}`",
                    self.model.id()
                ),
                hint: Some(Hint::GiveData),
            });
        }
        Ok(())
    }

    /// The first retained samples of each class, at most so many, with their head rows.
    pub(super) fn retained_of_each(&self, most: usize) -> (DataSet, Vec<u32>) {
        let mut taken: BTreeMap<u32, usize> = BTreeMap::new();
        let mut wanted = |at: &usize| {
            let count = taken.entry(self.retain_rows[*at]).or_default();
            *count += 1;
            *count <= most.max(1)
        };
        let picked: Vec<usize> = (0..self.retain.len()).filter(&mut wanted).collect();
        let rows = picked.iter().map(|&at| self.retain_rows[at]).collect();
        (self.retain.select(&picked), rows)
    }

    /// The number of classes among the retained samples.
    pub(super) fn retained_classes(&self) -> usize {
        self.retain_rows.iter().collect::<BTreeSet<_>>().len()
    }

    /// What some weights say about some data.
    pub(super) fn logits(
        &self,
        state: &StateDict,
        set: &DataSet,
        compute: Compute,
        progress: &dyn Progress,
    ) -> Result<Matrix, EngineError> {
        let id = self.model.id();
        let network =
            Network::new(&self.model.architecture, state, compute).map_err(EngineError::net(id))?;
        let stage = progress.stage(&format!("running {id}"), set.len() as u64);
        let captured = capture(&network, set, &self.model.preprocessing, &mut |n| {
            stage.advance(n as u64);
        });
        Ok(captured.map_err(EngineError::net(id))?.logits)
    }
}
