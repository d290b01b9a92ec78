//! From what the graph records to the samples themselves.

use std::collections::BTreeSet;

use disinherit_data::{DataSet, Splits};
use umig::{Forget, Model, SampleSet, Training};

use crate::error::{EngineError, Hint};

/// The samples of `train` that a model was trained on itself, by its provenance. A training whose
/// samples were not recorded counts all samples of its labels.
pub fn own_data(vertex: &Model, train: &DataSet) -> DataSet {
    let names = train.label_names();
    let saw = |training: &Training, label: u32, id: &str| {
        training.labels.contains(&names[label as usize])
            && match &training.samples {
                SampleSet::Listed(ids) => ids.contains(id),
                SampleSet::All | SampleSet::Unknown => true,
            }
    };
    train.filter(|label, id| vertex.training.iter().any(|t| saw(t, label, id)))
}

/// Of the samples that a model was trained on itself, by its provenance, how many are not in
/// `train`: what is computed from the others says nothing about them. Trainings whose samples were
/// not recorded count none.
pub fn absent_samples(vertex: &Model, train: &DataSet) -> usize {
    let mut absent: BTreeSet<&String> = BTreeSet::new();
    for training in &vertex.training {
        if let SampleSet::Listed(ids) = &training.samples {
            absent.extend(ids);
        }
    }
    for id in train.ids() {
        absent.remove(id);
    }
    absent.len()
}

/// What to say of samples that are absent; nothing where there are none.
pub fn absence_warning(vertex: &Model, train: &DataSet) -> Option<String> {
    let absent = absent_samples(vertex, train);
    (absent > 0).then(|| {
        format!(
            "{}: {absent} of the samples that it was trained on are not in `{}`: its FIM card knows \
             nothing of them",
            vertex.id,
            train.name()
        )
    })
}

/// Which samples of a set a request wants forgotten. A source's samples are those that the given
/// trainings list under it.
pub fn forget_mask<'a>(
    forget: &Forget,
    set: &DataSet,
    trainings: impl IntoIterator<Item = &'a Training>,
) -> Vec<bool> {
    let names = set.label_names();
    match forget {
        Forget::Classes(labels) => set
            .labels()
            .iter()
            .map(|&label| labels.contains(&names[label as usize]))
            .collect(),
        Forget::Samples(ids) => set.ids().iter().map(|id| ids.contains(id)).collect(),
        Forget::Source(source) => {
            let mut ids: BTreeSet<&String> = BTreeSet::new();
            let mut whole: Vec<&Training> = Vec::new();
            for training in trainings {
                if training.source.as_ref() == Some(source) {
                    match &training.samples {
                        SampleSet::Listed(listed) => ids.extend(listed),
                        SampleSet::All | SampleSet::Unknown => whole.push(training),
                    }
                }
            }
            (0..set.len())
                .map(|i| {
                    let label = &names[set.labels()[i] as usize];
                    ids.contains(&set.ids()[i]) || whole.iter().any(|t| t.labels.contains(label))
                })
                .collect()
        }
    }
}

/// The samples of `train` that any of some models was trained on and a request wants forgotten, by id.
pub(crate) fn forgotten_ids<'m>(
    forget: &Forget,
    train: &DataSet,
    models: impl IntoIterator<Item = &'m Model>,
) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for vertex in models {
        let own = own_data(vertex, train);
        let mask = forget_mask(forget, &own, &vertex.training);
        let gone = own.ids().iter().zip(mask).filter(|(_, gone)| *gone);
        ids.extend(gone.map(|(id, _)| id.clone()));
    }
    ids
}

/// The samples that a model was trained on itself, for its card.
pub(crate) fn own_samples(data: Option<&Splits>, model: &Model) -> Result<DataSet, EngineError> {
    let needs = |why: &str| EngineError::NeedsData {
        why: format!("`{}` {why}", model.id),
        hint: Some(Hint::GiveDataOrCard(model.id.clone())),
    };
    let data = data.ok_or_else(|| needs("has no FIM card for these layers"))?;
    let own = own_data(model, &data.train);
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
) -> Option<DataSet> {
    let own = own_data(vertex, &data?.train);
    let mask = forget_mask(forget, &own, &vertex.training);
    let picked: Vec<usize> = (0..own.len()).filter(|&i| mask[i]).collect();
    (!picked.is_empty()).then(|| own.select(&picked))
}
