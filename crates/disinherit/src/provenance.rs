//! From what the graph records to the samples themselves.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use disinherit_data::{DataSet, Splits};
use umig::{Forget, Model, ModelId, Relation, SampleError, SampleSet, Training, Umig};

use crate::error::{EngineError, Hint};

/// The samples of `train` that a model was trained on itself, by its provenance. A training whose
/// samples were not recorded counts all samples of its labels, and so does one whose list was purged.
///
/// # Errors
/// [`EngineError::Samples`] when a list of samples cannot be read.
pub fn own_data(vertex: &Model, train: &DataSet) -> Result<DataSet, EngineError> {
    Ok(train.select(&own_places(vertex, train)?))
}

/// The places in `train` of those samples.
pub(crate) fn own_places(vertex: &Model, train: &DataSet) -> Result<Vec<usize>, EngineError> {
    let mut seen = vec![false; train.len()];
    for training in &vertex.training {
        let labels = train.label_names().iter();
        let labels: Vec<bool> = labels.map(|name| training.labels.contains(name)).collect();
        let open = |at: &usize| !seen[*at] && labels[train.labels()[*at] as usize];
        let places: Vec<usize> = (0..train.len()).filter(open).collect();
        let ids: Vec<&str> = places.iter().map(|at| train.ids()[*at].as_str()).collect();
        for (at, saw) in places.iter().zip(training.samples.which(&ids)?) {
            seen[*at] = saw;
        }
    }
    Ok((0..train.len()).filter(|at| seen[*at]).collect())
}

/// A version with all that its weights were learnt from. One that was trained itself is as it is; one that
/// was made of its parents without any training (a federated average, a merge, a quantised copy) holds
/// what those were trained on. Versions that unlearning replaced have no part in it.
pub fn learned<'a>(graph: &Umig, vertex: &'a Model) -> Cow<'a, Model> {
    if !vertex.training.is_empty() || !is_made_of_parents(graph, &vertex.id) {
        return Cow::Borrowed(vertex);
    }
    let mut whole = vertex.clone();
    let mut known = BTreeSet::from([&vertex.id]);
    let mut open = vec![&vertex.id];
    while let Some(id) = open.pop() {
        for (parent, relation) in graph.parents(id) {
            let replaced = matches!(relation, Relation::UnlearnedFrom { .. });
            let Some(model) = graph.get(parent).filter(|_| !replaced) else {
                continue;
            };
            if known.insert(parent) {
                whole.training.extend(model.training.iter().cloned());
                if model.training.is_empty() && is_made_of_parents(graph, parent) {
                    open.push(parent);
                }
            }
        }
    }
    Cow::Owned(whole)
}

/// The ancestors of a model that its weights came from, the nearest first; not the versions that
/// unlearning replaced, which remember more than it should.
pub(crate) fn lineage(graph: &Umig, id: &ModelId) -> Vec<ModelId> {
    let mut found = Vec::new();
    let mut known = BTreeSet::from([id.clone()]);
    let mut open = VecDeque::from([id.clone()]);
    while let Some(id) = open.pop_front() {
        for (parent, relation) in graph.parents(&id) {
            let replaced = matches!(relation, Relation::UnlearnedFrom { .. });
            if !replaced && known.insert(parent.clone()) {
                found.push(parent.clone());
                open.push_back(parent.clone());
            }
        }
    }
    found
}

/// Whether a version came from its parents without any training: then their records say all.
pub(crate) fn is_made_of_parents(graph: &Umig, id: &ModelId) -> bool {
    let parents = graph.parents(id);
    let untrained = |relation: &Relation| {
        matches!(
            relation,
            Relation::FederatedAverage { .. }
                | Relation::DistributedAverage
                | Relation::Merged { .. }
                | Relation::Quantised
                | Relation::UnlearnedFrom { .. }
        )
    };
    !parents.is_empty() && parents.iter().all(|(_, relation)| untrained(relation))
}

/// Of the samples that a model was trained on itself, by its provenance, how many are not in
/// `train`: what is computed from the others says nothing about them. Trainings whose samples were
/// not recorded, or whose lists were purged, count none.
///
/// # Errors
/// [`EngineError::Samples`] when a list of samples cannot be read.
pub fn absent_samples(vertex: &Model, train: &DataSet) -> Result<usize, EngineError> {
    let mut absent: BTreeSet<&String> = BTreeSet::new();
    let mut lists: BTreeMap<&str, usize> = BTreeMap::new();
    for training in &vertex.training {
        match &training.samples {
            SampleSet::Listed(ids) => absent.extend(ids),
            SampleSet::Kept(kept) if !training.samples.is_gone()? => {
                let ids: BTreeSet<&str> = train.ids().iter().map(String::as_str).collect();
                let found = kept.which(&Vec::from_iter(ids))?;
                let there = found.iter().filter(|found| **found).count();
                lists.insert(kept.list(), (kept.count() as usize).saturating_sub(there));
            }
            _ => {}
        }
    }
    for id in train.ids() {
        absent.remove(id);
    }
    Ok(absent.len() + lists.values().sum::<usize>())
}

/// What to say of samples that are absent; nothing where there are none.
///
/// # Errors
/// [`EngineError::Samples`] when a list of samples cannot be read.
pub fn absence_warning(vertex: &Model, train: &DataSet) -> Result<Option<String>, EngineError> {
    let absent = absent_samples(vertex, train)?;
    Ok((absent > 0).then(|| {
        format!(
            "{}: {absent} of the samples that it was trained on are not in `{}`: its FIM card knows \
             nothing of them",
            vertex.id,
            train.name()
        )
    }))
}

/// Which samples of a set a request wants forgotten. A source's samples are those that the given
/// trainings list under it.
///
/// # Errors
/// [`EngineError::Samples`] when a list of samples cannot be read, or the only lists of a source were
/// purged.
pub fn forget_mask<'a>(
    forget: &Forget,
    set: &DataSet,
    trainings: impl IntoIterator<Item = &'a Training>,
) -> Result<Vec<bool>, EngineError> {
    match forget {
        Forget::Classes(labels) => Ok(has_label(set, labels)),
        Forget::Samples(ids) => Ok(set.ids().iter().map(|id| ids.contains(id)).collect()),
        Forget::Source(source) => {
            let trainings = trainings.into_iter();
            let its = trainings.filter(|training| training.source.as_ref() == Some(source));
            source_mask(set, its)
        }
    }
}

fn has_label(set: &DataSet, labels: &BTreeSet<String>) -> Vec<bool> {
    let names = set.label_names();
    let labelled = set.labels().iter();
    labelled
        .map(|&label| labels.contains(&names[label as usize]))
        .collect()
}

/// Which samples of a set are in any of some trainings.
fn source_mask<'a>(
    set: &DataSet,
    trainings: impl Iterator<Item = &'a Training>,
) -> Result<Vec<bool>, EngineError> {
    let ids: Vec<&str> = set.ids().iter().map(String::as_str).collect();
    let mut mask = vec![false; set.len()];
    let (mut known, mut gone) = (false, None);
    for training in trainings {
        let its = match &training.samples {
            SampleSet::Listed(_) => training.samples.which(&ids)?,
            SampleSet::All | SampleSet::Unknown => has_label(set, &training.labels),
            SampleSet::Kept(kept) => match kept.which(&ids) {
                Err(error @ SampleError::Gone { .. }) => {
                    gone = Some(error);
                    continue;
                }
                found => found?,
            },
        };
        known = true;
        mask.iter_mut().zip(its).for_each(|(any, its)| *any |= its);
    }
    match gone {
        Some(error) if !known => Err(error.into()),
        _ => Ok(mask),
    }
}

/// The samples of `train` that any of some models was trained on and a request wants forgotten, by id.
pub(crate) fn forgotten_ids<'m>(
    forget: &Forget,
    train: &DataSet,
    models: impl IntoIterator<Item = &'m Model>,
) -> Result<BTreeSet<String>, EngineError> {
    // Of single samples only those are looked for that are asked for.
    let train = match forget {
        Forget::Samples(asked) => Cow::Owned(train.filter(|_, id| asked.contains(id))),
        _ => Cow::Borrowed(train),
    };
    let (mut ids, mut gone) = (BTreeSet::new(), None);
    for vertex in models {
        let of_source = |source| {
            vertex
                .training
                .iter()
                .any(|t| t.source.as_ref() == Some(source))
        };
        if matches!(forget, Forget::Source(source) if !of_source(source)) {
            continue;
        }
        let own = own_data(vertex, &train)?;
        let mask = match forget_mask(forget, &own, &vertex.training) {
            Err(error @ EngineError::Samples(SampleError::Gone { .. })) => {
                gone = Some(error);
                continue;
            }
            mask => mask?,
        };
        let forgotten = own.ids().iter().zip(mask).filter(|(_, gone)| *gone);
        ids.extend(forgotten.map(|(id, _)| id.clone()));
    }
    match gone {
        Some(error) if ids.is_empty() => Err(error),
        _ => Ok(ids),
    }
}

/// The samples that a model was trained on itself, for its card.
pub(crate) fn own_samples(data: Option<&Splits>, model: &Model) -> Result<DataSet, EngineError> {
    let needs = |why: &str| EngineError::NeedsData {
        why: format!("`{}` {why}", model.id),
        hint: Some(Hint::GiveDataOrCard(model.id.clone())),
    };
    let data = data.ok_or_else(|| needs("has no FIM card for these layers"))?;
    let own = own_data(model, &data.train)?;
    if own.is_empty() {
        return Err(needs(
            "was, by its provenance, not trained on the data given",
        ));
    }
    Ok(own)
}

/// A model's own training samples that are to be forgotten, if the data has any.
pub(crate) fn forget_samples(
    data: Option<&Splits>,
    vertex: &Model,
    forget: &Forget,
) -> Result<Option<DataSet>, EngineError> {
    let Some(data) = data else {
        return Ok(None);
    };
    let own = own_data(vertex, &data.train)?;
    let mask = forget_mask(forget, &own, &vertex.training)?;
    let picked: Vec<usize> = (0..own.len()).filter(|&i| mask[i]).collect();
    Ok((!picked.is_empty()).then(|| own.select(&picked)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn model(name: &str, version: u32, source: Option<&str>) -> Model {
        let model = Model::new(ModelId::new(name, version).unwrap(), u64::from(version));
        match source {
            None => model,
            Some(source) => {
                let mut training = Training::new("photos", ["cat", "dog"]);
                training.source = Some(source.to_owned());
                model.trained_on(training)
            }
        }
    }

    fn sources(graph: &Umig, id: &str) -> Vec<String> {
        let vertex = graph.get(&id.parse().unwrap()).unwrap();
        let training = learned(graph, vertex).into_owned().training.into_iter();
        let mut found: Vec<String> = training.filter_map(|t| t.source).collect();
        found.sort();
        found
    }

    #[test]
    fn an_average_holds_what_its_parents_were_trained_on() {
        let mut graph = Umig::new();
        let id = |text: &str| text.parse::<ModelId>().unwrap();
        let share = |weight| Relation::FederatedAverage { weight };
        let unlearned = Relation::UnlearnedFrom {
            request: "r".into(),
        };
        graph.add(model("a", 1, Some("ann")), []).unwrap();
        graph.add(model("b", 1, Some("bob")), []).unwrap();
        let both = [(id("a@1"), share(0.3)), (id("b@1"), share(0.7))];
        graph.add(model("mean", 1, None), both).unwrap();
        let smaller = [(id("mean@1"), Relation::Quantised)];
        graph.add(model("small", 1, None), smaller).unwrap();
        // Trained further, it holds its own, as every model does.
        let tuned = [(id("mean@1"), Relation::FineTune)];
        graph.add(model("tuned", 1, Some("cid")), tuned).unwrap();
        let unknown = [(id("mean@1"), Relation::FineTune)];
        graph.add(model("unknown", 1, None), unknown).unwrap();
        // What was replaced has no part in what replaces it.
        let left = [(id("b@1"), share(0.7)), (id("mean@1"), unlearned)];
        graph.add(model("mean", 2, None), left).unwrap();
        assert_eq!(sources(&graph, "a@1"), ["ann"]);
        assert_eq!(sources(&graph, "mean@1"), ["ann", "bob"]);
        assert_eq!(sources(&graph, "small@1"), ["ann", "bob"]);
        assert_eq!(sources(&graph, "tuned@1"), ["cid"]);
        assert_eq!(sources(&graph, "unknown@1"), Vec::<String>::new());
        assert_eq!(sources(&graph, "mean@2"), ["bob"]);
    }
}
