//! One touched model with the data that a method works on.

use std::collections::BTreeMap;

use disinherit_data::{DataSet, Splits};
use disinherit_nets::{Compute, Network, StateDict, capture};
use disinherit_registry::Registry;
use fiun::Matrix;
use umig::{Forget, ModelId, Scope, Umig};

use super::Method;
use crate::{EngineError, LoadedModel, Progress, forget_mask, own_data};

/// A model that is to forget.
pub(super) struct Subject {
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

/// Where subjects come from.
pub(super) struct Subjects<'a> {
    pub(super) registry: &'a Registry,
    pub(super) graph: &'a Umig,
    pub(super) scope: &'a Scope,
    pub(super) forget: &'a Forget,
    pub(super) splits: &'a Splits,
    pub(super) method: Method,
}

impl Subjects<'_> {
    pub(super) fn get(&self, id: &ModelId) -> Result<Subject, EngineError> {
        let model = LoadedModel::open(self.registry, self.graph, id)?;
        let own = own_data(&model.vertex, &self.splits.train);
        let mask = forget_mask(self.forget, &own, &model.vertex.training);
        let pick = |wanted: bool| {
            let picked: Vec<usize> = (0..own.len()).filter(|&i| mask[i] == wanted).collect();
            known(&model, &own.select(&picked))
        };
        let retain = pick(false);
        if retain.is_empty() {
            return Err(EngineError::NothingRetained(format!(
                "of the data given, `{id}` was trained on nothing but {}; `{}` works on retained \
                 training data",
                self.forget, self.method
            )));
        }
        let mut forget = pick(true);
        if forget.is_empty() {
            forget = known(&model, &self.inherited_forget(id));
        }
        let forgotten = match self.forget {
            Forget::Classes(labels) => (0u32..)
                .zip(&model.manifest.labels)
                .filter(|(_, label)| labels.contains(*label))
                .map(|(row, _)| row)
                .collect(),
            _ => Vec::new(),
        };
        if !model.has_bias() {
            return Err(EngineError::Refused(format!(
                "the head of `{}` has no bias, and other methods than FIUn would give it one: leave \
                 `--method` out",
                model.id()
            )));
        }
        Ok(Subject {
            state: model.state(self.registry)?,
            retain_rows: model.rows(&retain)?,
            forget_rows: model.rows(&forget)?,
            retain,
            forget,
            forgotten,
            model,
        })
    }

    /// The forget data of the initial models that reach a model.
    fn inherited_forget(&self, id: &ModelId) -> DataSet {
        let reached = self.scope.reached_by.get(id).into_iter().flatten();
        let vertices: Vec<_> = reached.filter_map(|id| self.graph.get(id)).collect();
        let train = &self.splits.train;
        let mut wanted = vec![false; train.len()];
        for vertex in vertices {
            let own = own_data(vertex, train);
            let mask = forget_mask(self.forget, &own, &vertex.training);
            let ids: std::collections::HashSet<&String> = (0..own.len())
                .filter(|&i| mask[i])
                .map(|i| &own.ids()[i])
                .collect();
            for (at, id) in train.ids().iter().enumerate() {
                wanted[at] |= ids.contains(id);
            }
        }
        let picked: Vec<usize> = (0..train.len()).filter(|&i| wanted[i]).collect();
        train.select(&picked)
    }
}

/// The samples of labels that a model has an output for.
fn known(model: &LoadedModel, set: &DataSet) -> DataSet {
    let names = set.label_names();
    set.filter(|label, _| model.manifest.labels.contains(&names[label as usize]))
}

impl Subject {
    /// Refuses a method that needs forget data where there is none.
    pub(super) fn need_forget(&self, method: Method) -> Result<(), EngineError> {
        if self.forget.is_empty() {
            return Err(EngineError::NeedsData(format!(
                "`{method}` works on the forget data, and the data given has none that reached \
                 `{}`",
                self.model.id()
            )));
        }
        Ok(())
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

/// `state + difference`, tensor by tensor; tensors without a difference of their shape stay.
pub(super) fn plus(state: &StateDict, differences: &[&StateDict]) -> StateDict {
    let mut sum: BTreeMap<_, _> = state.clone();
    for difference in differences {
        for (name, array) in &mut sum {
            if let Some(change) = difference.get(name).filter(|c| c.shape == array.shape) {
                let pairs = array.values.iter_mut().zip(&change.values);
                pairs.for_each(|(value, change)| *value += change);
            }
        }
    }
    sum
}

/// `after - before`, tensor by tensor.
pub(super) fn minus(after: &StateDict, before: &StateDict) -> StateDict {
    let mut change = after.clone();
    for (name, array) in &mut change {
        if let Some(old) = before.get(name) {
            let pairs = array.values.iter_mut().zip(&old.values);
            pairs.for_each(|(value, old)| *value -= old);
        }
    }
    change
}
