//! What an edit costs in accuracy on the retained data, measured before anything is published.
//!
//! On training samples that neither the edit nor the choice of its strength has seen
//! ([`crate::kept_apart`]): those of the model itself, and up to a bound those of its ancestors. Held-out
//! data is left to the verdicts. A method that trains on all of the retained samples has seen all of
//! them, and the model before has too, so that on them every such method looks better than it is, and on
//! any that it is denied worse: it is measured on held-out samples.

use std::collections::BTreeSet;

use disinherit_data::DataSet;
use disinherit_registry::{CheckedOn, LossBound, LossCheck, MeasuredLoss};
use fiun::{Matrix, argmax, linear};
use umig::{Forget, Model};

use crate::error::EngineError;
use crate::kept_apart::{MOST, SEED};
use crate::method::Edit;
use crate::model::LoadedModel;
use crate::provenance::{forget_mask, lineage, own_places};
use crate::work::Work;

/// With fewer samples than these, what the choice has seen is measured too, and the worse counts.
const FEW: usize = 100;

/// Samples of one kind.
type Kind = (CheckedOn, DataSet);

/// Measures edits of a request.
pub(crate) struct LossChecker<'a> {
    pub(crate) work: &'a Work<'a>,
    /// Whether the method trains on all of the retained samples.
    pub(crate) learns_retained: bool,
    pub(crate) bound: LossBound,
}

impl LossChecker<'_> {
    /// What an edit costs a model: of several kinds of samples, where it fares worst.
    pub(crate) fn check(&self, model: &LoadedModel, edit: &Edit) -> Result<LossCheck, EngineError> {
        let mut worst: Option<MeasuredLoss> = None;
        let limit = self.bound.limit();
        for (on, set) in self.samples(model)? {
            let loss = self.measure(model, edit, on, &set)?;
            if worst.is_none_or(|known| loss.excess(limit) > known.excess(limit)) {
                worst = Some(loss);
            }
        }
        Ok(worst.map_or(LossCheck::NotMeasured, LossCheck::Measured))
    }

    /// The samples to measure on; none where no data is at hand.
    fn samples(&self, model: &LoadedModel) -> Result<Vec<Kind>, EngineError> {
        let Ok(data) = self.work.splits() else {
            return Ok(Vec::new());
        };
        let own = Own::find(self.work, model, &data.train)?;
        let first = if self.learns_retained {
            let heldout = retained_heldout(&data.heldout, model, self.work.forget())?;
            (CheckedOn::HeldOut, heldout)
        } else {
            let mut places = own.apart.clone();
            self.add_ancestors(model, &own, &mut places)?;
            places.sort_unstable();
            (CheckedOn::KeptApart, data.train.select(&places))
        };
        let few = first.1.len() < FEW;
        let mut kinds = vec![first];
        if few {
            let seen = own.seen.into_iter().chain(match self.learns_retained {
                true => own.apart,
                false => Vec::new(),
            });
            let seen: Vec<usize> = seen.collect();
            kinds.push((
                CheckedOn::Training,
                data.train.select(&seen).sample(MOST, SEED),
            ));
        }
        kinds.retain(|(_, set)| !set.is_empty());
        Ok(kinds)
    }

    /// Adds retained samples of the model's ancestors, the nearest first, as long as there is room.
    fn add_ancestors(
        &self,
        model: &LoadedModel,
        own: &Own,
        places: &mut Vec<usize>,
    ) -> Result<(), EngineError> {
        let (graph, forget) = (self.work.graph(), self.work.forget());
        let train = &self.work.splits()?.train;
        let known = known_labels(model, train);
        let forgotten = self.work.forgotten(train)?;
        let mut free: Vec<bool> = (0..train.len())
            .map(|at| known[train.labels()[at] as usize] && !forgotten[at])
            .collect();
        own.all.iter().for_each(|at| free[*at] = false);
        let mut order: Option<Vec<usize>> = None;
        for id in lineage(graph, model.id()) {
            let room = MOST.saturating_sub(places.len());
            if room == 0 {
                break;
            }
            let Some(ancestor) = graph.get(&id) else {
                continue;
            };
            if !is_told_apart(ancestor, forget)? {
                continue;
            }
            // Of theirs too only what is kept apart: edits below the head see the others.
            let all = own_places(ancestor, train)?;
            let set = train.select(&all);
            let mask = forget_mask(forget, &set, &ancestor.training)?;
            let apart = crate::kept_apart::apart(&set, &mask).into_iter();
            let mut its: Vec<usize> = apart.map(|at| all[at]).collect();
            its.retain(|at| free[*at]);
            if its.len() > room {
                let its_own: BTreeSet<usize> = its.iter().copied().collect();
                let order = order.get_or_insert_with(|| train.deal(SEED));
                let dealt = order.iter().filter(|at| its_own.contains(*at));
                its = dealt.take(room).copied().collect();
            }
            its.iter().for_each(|at| free[*at] = false);
            places.extend(its);
        }
        Ok(())
    }

    fn measure(
        &self,
        model: &LoadedModel,
        edit: &Edit,
        on: CheckedOn,
        set: &DataSet,
    ) -> Result<MeasuredLoss, EngineError> {
        let rows = model.rows(set)?;
        let [before, after] = self.logits(model, edit, set)?;
        let right = |logits: &Matrix, at: usize| argmax(logits.view().row(at)) as u32 == rows[at];
        let mut loss = MeasuredLoss {
            on,
            samples: rows.len() as u64,
            right: 0,
            lost: 0,
            gained: 0,
        };
        for at in 0..rows.len() {
            let (was, is) = (right(&before, at), right(&after, at));
            loss.right += u64::from(was);
            loss.lost += u64::from(was && !is);
            loss.gained += u64::from(is && !was);
        }
        Ok(loss)
    }

    /// What the model says of samples, before and after.
    fn logits(
        &self,
        model: &LoadedModel,
        edit: &Edit,
        set: &DataSet,
    ) -> Result<[Matrix; 2], EngineError> {
        let work = self.work;
        let features = work.features.of(model, set, work.progress())?;
        let before = work.features.logits(model, &features)?;
        let head = model.head_tensors();
        let (mut weight, mut bias) = model.head(work.registry())?;
        let changed = |name: &String| edit.changed.get(name).and_then(|tensor| tensor.to_f32());
        if let Some(values) = changed(&head[0]) {
            weight = Matrix::new(weight.rows(), weight.cols(), values)
                .map_err(EngineError::fisher(model.id(), &head[0]))?;
        }
        bias = changed(&head[1]).unwrap_or(bias);
        let of_head = |features: &Matrix| {
            linear(features.view(), weight.view(), &bias)
                .map_err(EngineError::fisher(model.id(), &model.manifest.head))
        };
        if edit.changed.keys().all(|name| head.contains(name)) {
            return Ok([before, of_head(&features)?]);
        }
        let after = work
            .features
            .after(model, &edit.changed, set, work.progress())?;
        Ok([before, of_head(&after)?])
    }
}

/// A model's own training samples, as places in the training data.
struct Own {
    all: Vec<usize>,
    /// Retained, and kept apart.
    apart: Vec<usize>,
    /// Retained, and seen by the choice.
    seen: Vec<usize>,
}

impl Own {
    fn find(work: &Work<'_>, model: &LoadedModel, train: &DataSet) -> Result<Self, EngineError> {
        let all = own_places(model.learned(), train)?;
        let set = train.select(&all);
        let mask = forget_mask(work.forget(), &set, &model.learned().training)?;
        let apart: BTreeSet<usize> = crate::kept_apart::apart(&set, &mask).into_iter().collect();
        let known = known_labels(model, train);
        let retained = |wanted: bool| {
            let places = (0..all.len()).filter(|at| !mask[*at] && apart.contains(at) == wanted);
            let places = places.map(|at| all[at]);
            places
                .filter(|at| known[train.labels()[*at] as usize])
                .collect()
        };
        Ok(Self {
            apart: retained(true),
            seen: retained(false),
            all,
        })
    }
}

/// Which labels of a data set a model has an output for.
fn known_labels(model: &LoadedModel, set: &DataSet) -> Vec<bool> {
    let names = set.label_names().iter();
    names
        .map(|name| model.manifest.labels.contains(name))
        .collect()
}

/// Held-out samples that are not of what is forgotten.
fn retained_heldout(
    heldout: &DataSet,
    model: &LoadedModel,
    forget: &Forget,
) -> Result<DataSet, EngineError> {
    let known = known_labels(model, heldout);
    let gone = forget_mask(forget, heldout, [])?;
    let places = (0..heldout.len())
        .filter(|at| !gone[*at] && known[heldout.labels()[*at] as usize])
        .collect::<Vec<_>>();
    Ok(heldout.select(&places).sample(MOST, SEED))
}

/// Whether the samples that a version was trained on can be told from those that are forgotten: not
/// where a source's share of them is not on record.
fn is_told_apart(vertex: &Model, forget: &Forget) -> Result<bool, EngineError> {
    if vertex.superseded || matches!(forget, Forget::Classes(_)) {
        return Ok(!vertex.superseded);
    }
    for training in &vertex.training {
        if !training.samples.is_listed() && forget.concerns(training)? {
            return Ok(false);
        }
    }
    Ok(true)
}
