//! The samples that matching works with: those to be forgotten, those to be held, and unseen ones.

use std::collections::BTreeSet;

use disinherit_data::{DataSet, is_for_aiming};
use umig::Model;

use crate::error::{EngineError, Hint};
use crate::model::LoadedModel;
use crate::provenance::{forgotten_ids, own_data};
use crate::work::Work;

/// Samples of each kind that are looked at, at most.
const RETAINED: usize = 5000;
const TRAINED: usize = 1000;
const UNSEEN: usize = 1000;

/// Unseen samples without which no certainty is known.
const FEWEST: usize = 20;

/// Samples as the model's network reads them, with the head row of each one's label.
pub(super) struct Part {
    pub(super) set: DataSet,
    pub(super) rows: Vec<u32>,
}

impl Part {
    pub(super) fn new(
        work: &Work<'_>,
        model: &LoadedModel,
        set: &DataSet,
    ) -> Result<Self, EngineError> {
        let rows = model.rows(set)?;
        let seen = work.features.as_seen(model, set, work.progress())?;
        Ok(Self {
            set: seen.into_owned(),
            rows,
        })
    }
}

/// Everything that one model is matched on.
pub(super) struct Material {
    pub(super) forget: Part,
    /// What is held: retained training samples of the model and of its current ancestors, from which it
    /// has its knowledge too.
    pub(super) retained: Part,
    /// Retained samples that the initial models were trained on as they were on the forget samples.
    pub(super) trained: Part,
    /// Samples that neither the model nor an ancestor was trained on, and that no verdict is taken on:
    /// held-out ones, and training data of others.
    pub(super) unseen: Vec<Part>,
}

impl Material {
    /// The head rows of all unseen samples, part after part.
    pub(super) fn unseen_rows(&self) -> Vec<u32> {
        let parts = self.unseen.iter();
        parts.flat_map(|part| part.rows.iter().copied()).collect()
    }

    pub(super) fn collect(
        work: &Work<'_>,
        model: &LoadedModel,
        seed: u64,
    ) -> Result<Self, EngineError> {
        let id = model.id();
        let needs = |why: String| EngineError::NeedsData {
            why,
            hint: Some(Hint::GiveData),
        };
        let forget = work.forget_reaching(model)?;
        if forget.is_empty() {
            return Err(needs(format!(
                "the data given has none of the forget samples that reached `{id}`"
            )));
        }
        let known = Known::new(work, model)?;
        let retained = model.known(&known.retained.sample(RETAINED, seed));
        if retained.is_empty() {
            return Err(EngineError::NothingRetained(format!(
                "of the data given, `{id}` was trained on nothing but {}; matching holds what is \
                 retained in place",
                work.forget()
            )));
        }
        let trained = model.known(&known.trained.sample(TRAINED, seed));
        let unseen = known
            .unseen
            .map(|set| model.known(&set.sample(UNSEEN, seed)));
        let count = unseen.iter().map(DataSet::len).sum::<usize>();
        if count < FEWEST {
            return Err(needs(format!(
                "the data given has {count} samples that `{id}` never saw, of labels that it has, and \
                 matching needs {FEWEST}: they say how certain it should be"
            )));
        }
        let part = |set: &DataSet| Part::new(work, model, set);
        Ok(Self {
            forget: part(&forget)?,
            trained: part(if trained.len() < FEWEST {
                &retained
            } else {
                &trained
            })?,
            retained: part(&retained)?,
            unseen: unseen
                .iter()
                .filter(|set| !set.is_empty())
                .map(part)
                .collect::<Result<_, _>>()?,
        })
    }
}

/// The samples of the data by what a model and its ancestors know of them.
struct Known {
    retained: DataSet,
    trained: DataSet,
    unseen: [DataSet; 2],
}

impl Known {
    fn new(work: &Work<'_>, model: &LoadedModel) -> Result<Self, EngineError> {
        let splits = work.splits()?;
        let (graph, train) = (work.graph(), &splits.train);
        let mut line = graph.ancestors(model.id())?;
        line.insert(model.id().clone());
        let vertices: Vec<&Model> = line.iter().filter_map(|id| graph.get(id)).collect();
        let initial = work.scope().initial.iter().filter_map(|id| graph.get(id));
        let forgotten = forgotten_ids(work.forget(), train, initial)?;
        let initial = work.reached_by(model.id());
        let (mut seen, mut retained, mut trained) =
            (forgotten.clone(), BTreeSet::new(), BTreeSet::new());
        for vertex in vertices {
            let own = own_data(vertex, train)?;
            // A version that was replaced may know what an earlier request forgot.
            let current = !vertex.superseded;
            for id in own.ids() {
                seen.insert(id.clone());
                if current && !forgotten.contains(id) {
                    retained.insert(id.clone());
                    if initial.contains(&vertex.id) {
                        trained.insert(id.clone());
                    }
                }
            }
        }
        Ok(Self {
            retained: train.filter(|_, id| retained.contains(id)),
            trained: train.filter(|_, id| trained.contains(id)),
            unseen: [
                splits.heldout.filter(|_, id| is_for_aiming(id)),
                train.filter(|_, id| !seen.contains(id)),
            ],
        })
    }
}
