//! The samples that matching works with: those to be forgotten, those to be held, and unseen ones.

use std::collections::{BTreeMap, BTreeSet};

use disinherit_data::{DataSet, is_for_aiming};
use umig::Model;

use crate::error::{EngineError, Hint};
use crate::model::LoadedModel;
use crate::provenance::{forgotten_ids, own_data};
use crate::work::Work;

/// Samples of each kind that are looked at, at most.
const RETAINED: usize = 5000;
const TRAINED: usize = 1000;
const BESIDE: usize = 1000;
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
    /// What says how a sample stands for models that did not learn it: first retained samples that the
    /// initial models were trained on as they were on the forget samples, then others that are retained.
    pub(super) known: Part,
    /// How many come first there.
    pub(super) trained: usize,
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
        let mut trained = model.known(&known.trained.sample(TRAINED, seed));
        if trained.len() < FEWEST {
            trained = retained.sample(TRAINED, seed);
        }
        let first: BTreeSet<&str> = trained.ids().iter().map(String::as_str).collect();
        let beside = retained.filter(|_, id| !first.contains(id));
        let beside = beside.sample(BESIDE, seed);
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
            known: part(&one_after_another(&work.splits()?.train, &trained, &beside))?,
            trained: trained.len(),
            retained: part(&retained)?,
            unseen: unseen
                .iter()
                .filter(|set| !set.is_empty())
                .map(part)
                .collect::<Result<_, _>>()?,
        })
    }
}

/// Some training samples, and after them others.
fn one_after_another(train: &DataSet, first: &DataSet, then: &DataSet) -> DataSet {
    let order: Vec<&String> = first.ids().iter().chain(then.ids()).collect();
    let ids: BTreeSet<&str> = order.iter().map(|id| id.as_str()).collect();
    let both = train.filter(|_, id| ids.contains(id));
    let places: BTreeMap<&String, usize> = both.ids().iter().zip(0..).collect();
    let order: Vec<usize> = order
        .iter()
        .filter_map(|id| places.get(id).copied())
        .collect();
    both.select(&order)
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
