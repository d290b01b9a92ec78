//! Samples that the strength of an edit is chosen on.

use std::sync::Arc;

use disinherit_data::{DataSet, is_for_aiming};
use disinherit_nets::StateDict;
use disinherit_registry::InnerEdit;
use fiun::{HeadPart, Matrix, SuppressibleRows, Target, argmax};
use umig::Forget;

use crate::cards::FisherOptions;
use crate::error::EngineError;
use crate::layers::Selected;
use crate::model::LoadedModel;
use crate::provenance::forget_mask;
use crate::work::Work;

/// Samples tried when every try costs a forward pass.
const FEW: usize = 1024;

/// What is collected for one model before its edit.
pub struct Evidence {
    /// What the strength of dampening is chosen on, where it is chosen on data.
    pub(crate) strength: Option<Strength>,
    /// What was worked out for the layers below the head, where that was asked for.
    pub(crate) inner: Option<InnerPart>,
}

/// The part of an edit that lies below the head, worked out already: it runs the network.
pub(crate) struct InnerPart {
    /// The tensors that change, the head's among them; none where only the head is edited.
    pub(crate) changed: StateDict,
    pub(crate) record: InnerEdit,
}

impl InnerPart {
    /// Whether anything below the head is edited.
    pub(crate) fn is_edit(&self) -> bool {
        !self.changed.is_empty()
    }
}

/// Samples, some of them to be forgotten, with what the choice aims at.
pub(crate) struct Strength {
    pub(crate) samples: Samples,
    pub(crate) rows: Vec<u32>,
    pub(crate) is_forget: Vec<bool>,
    pub(crate) target: Target,
    /// The logits that may be suppressed where dampening does not do.
    pub(crate) suppressible: SuppressibleRows,
}

/// How evidence is collected.
pub(crate) struct Collecting<'a> {
    pub(crate) work: &'a Work<'a>,
    pub(crate) fisher: &'a FisherOptions,
    pub(crate) target_forget: Option<f64>,
    pub(crate) target_loss: f64,
    pub(crate) suppress: bool,
}

/// What a try starts from.
pub(crate) enum Samples {
    /// The head's input, where only the head is edited: a try is a matrix product.
    Features(Arc<Matrix>),
    /// The samples themselves, where layers below it are.
    Whole(Vec<DataSet>),
}

impl Collecting<'_> {
    /// The model's own training samples; where none of them is to be forgotten, the forget samples
    /// of the initial models that reach it are added. `None` where there is no data, or not both
    /// of what must go and what must stay.
    pub(crate) fn strength(
        &self,
        model: &LoadedModel,
        selected: &Selected,
    ) -> Result<Option<Strength>, EngineError> {
        let all = match self.work.own_whole(model) {
            Err(EngineError::NeedsData { .. }) => return Ok(None),
            own => own?,
        };
        let whole = !selected.inner.is_empty();
        // Features are taken of all samples, as for the card: a second pass would cost more.
        let looked_at = self.fisher.subset(&all);
        let seen = self.work.seen(model, &all, &looked_at)?;
        let mut own = looked_at.select(&seen);
        if whole {
            own = own.sample(FEW, self.fisher.seed);
        }
        let mut is_forget = forget_mask(self.work.forget(), &own, &model.learned().training)?;
        let mut rows = model.rows(&own)?;
        let mut sets = vec![own];
        if !is_forget.contains(&true) {
            for (forget, more) in self.inherited_forget(model, whole)? {
                rows.extend(more);
                is_forget.extend(vec![true; forget.len()]);
                sets.push(forget);
            }
        }
        if !is_forget.contains(&true) || !is_forget.contains(&false) {
            return Ok(None);
        }
        let Some(target) = self.target(model, &rows, &is_forget)? else {
            return Ok(None);
        };
        let samples = if whole {
            Samples::Whole(sets)
        } else {
            Samples::Features(self.joined(model, (&looked_at, &seen), &sets[1..])?)
        };
        Ok(Some(Strength {
            suppressible: self.suppressible(model, selected),
            samples,
            rows,
            is_forget,
            target,
        }))
    }

    /// The forget samples of the initial models that reach a model, with the rows of their labels;
    /// those with labels that the model does not have are left out.
    fn inherited_forget(
        &self,
        model: &LoadedModel,
        whole: bool,
    ) -> Result<Vec<(DataSet, Vec<u32>)>, EngineError> {
        let mut sets = Vec::new();
        for id in self.work.reached_by(model.id()) {
            let Some(vertex) = self.work.graph().get(&id) else {
                continue;
            };
            let Some(forget) = self.work.forget_data(vertex)? else {
                continue;
            };
            let mut forget = self.fisher.subset(&forget);
            if whole {
                forget = forget.sample(FEW / 4, self.fisher.seed);
            }
            if let Ok(rows) = model.rows(&forget) {
                sets.push((forget, rows));
            }
        }
        Ok(sets)
    }

    /// The rows of classes that are forgotten as a whole. A bias that is not among what is edited
    /// is left alone; where there is none, the weight is what suppression changes.
    fn suppressible(&self, model: &LoadedModel, selected: &Selected) -> SuppressibleRows {
        let Forget::Classes(classes) = self.work.forget() else {
            return SuppressibleRows::default();
        };
        let [weight, bias] = selected.head;
        let part = if model.has_bias() {
            HeadPart::Bias
        } else {
            HeadPart::Weight
        };
        let edited = match part {
            HeadPart::Bias => bias,
            HeadPart::Weight => weight,
        };
        let labels = (0u32..).zip(&model.manifest.labels);
        let rows = labels
            .filter(|(_, label)| self.suppress && edited && classes.contains(*label))
            .map(|(row, _)| row);
        SuppressibleRows {
            rows: rows.collect(),
            part,
        }
    }

    /// The features of some samples of a set, and of further sets.
    fn joined(
        &self,
        model: &LoadedModel,
        (first, seen): (&DataSet, &[usize]),
        more: &[DataSet],
    ) -> Result<Arc<Matrix>, EngineError> {
        let features = self.work.features.of(model, first, self.work.progress())?;
        let mut parts = vec![match seen.len() == first.len() {
            true => features,
            false => Arc::new(features.select_rows(seen)),
        }];
        for set in more {
            parts.push(self.work.features.of(model, set, self.work.progress())?);
        }
        if let [only] = &parts[..] {
            return Ok(Arc::clone(only));
        }
        let cols = parts.first().map_or(0, |part| part.cols());
        let values: Vec<f32> = parts.iter().flat_map(|p| p.values()).copied().collect();
        Matrix::new(values.len() / cols.max(1), cols, values)
            .map(Arc::new)
            .map_err(EngineError::fisher(model.id(), &model.manifest.head))
    }

    /// What to aim at. A class that is forgotten is not recognised at all. Single samples that are
    /// forgotten are recognised as well as ones that were never seen: the accuracy on held-out
    /// samples of their labels. `None` where that cannot be told.
    fn target(
        &self,
        model: &LoadedModel,
        rows: &[u32],
        is_forget: &[bool],
    ) -> Result<Option<Target>, EngineError> {
        let retain_loss = self.target_loss;
        let aim = |forget| {
            Some(Target {
                forget,
                retain_loss,
            })
        };
        if let Some(forget) = self.target_forget {
            return Ok(aim(forget));
        }
        if let Forget::Classes(_) = self.work.forget() {
            return Ok(aim(0.0));
        }
        let Some(data) = self.work.engine.data() else {
            return Ok(None);
        };
        let labels: Vec<u32> = rows
            .iter()
            .zip(is_forget)
            .filter(|(_, forget)| **forget)
            .map(|(row, _)| *row)
            .collect();
        let names = data.heldout.label_names();
        let of_labels = data.heldout.filter(|label, id| {
            let name = &names[label as usize];
            let row = model.manifest.labels.iter().position(|known| known == name);
            is_for_aiming(id) && row.is_some_and(|row| labels.contains(&(row as u32)))
        });
        if of_labels.is_empty() {
            return Ok(None);
        }
        let features = self
            .work
            .features
            .of(model, &of_labels, self.work.progress())?;
        let logits = self.work.features.logits(model, &features)?;
        let right = model
            .rows(&of_labels)?
            .iter()
            .enumerate()
            .filter(|(n, row)| argmax(logits.view().row(*n)) == **row as usize)
            .count();
        Ok(aim(right as f64 / of_labels.len() as f64))
    }
}
