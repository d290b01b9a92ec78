//! Samples to try thresholds on.

use std::sync::Arc;

use disinherit_data::DataSet;
use fiun::{HeadPart, Matrix, SuppressibleRows, Target, argmax};
use umig::Forget;

use super::prepare::{Preparation, Ready};
use crate::{EngineError, LoadedModel, forget_mask};

/// Samples tried when every try costs a forward pass.
const FEW: usize = 1024;

/// Samples of which some are to be forgotten.
pub(super) struct Evidence {
    pub(super) samples: Samples,
    pub(super) rows: Vec<u32>,
    pub(super) is_forget: Vec<bool>,
    pub(super) target: Target,
    /// What may be lowered where dampening does not do.
    pub(super) lowers: SuppressibleRows,
}

/// What a try starts from.
pub(super) enum Samples {
    /// The head's input, where only the head is edited: a try is a matrix product.
    Features(Arc<Matrix>),
    /// The samples themselves, where layers below it are.
    Whole(Vec<DataSet>),
}

impl Preparation<'_> {
    /// The model's own training samples; where none of them is to be forgotten, the forget samples
    /// of the initial models that reach it are added. `None` where there is no data, or not both
    /// of what must go and what must stay.
    pub(super) fn evidence(&self, ready: &Ready) -> Result<Option<Evidence>, EngineError> {
        let model = &ready.model;
        let Ok(own) = self.own(model) else {
            return Ok(None);
        };
        let whole = !ready.selected.inner.is_empty();
        let options = &self.options.fisher;
        let mut own = options.subset(&own);
        if whole {
            own = own.sample(FEW, options.seed);
        }
        let mut is_forget = forget_mask(self.forget(), &own, &model.vertex.training);
        let mut rows = model.rows(&own)?;
        let mut sets = vec![own];
        if !is_forget.contains(&true) {
            let reached_by = self.plan.scope.reached_by.get(model.id());
            for id in reached_by.into_iter().flatten() {
                let forget = self.graph.get(id).and_then(|v| self.forget_data(v));
                let Some(forget) = forget else {
                    continue;
                };
                let mut forget = options.subset(&forget);
                if whole {
                    forget = forget.sample(FEW / 4, options.seed);
                }
                if let Ok(more) = model.rows(&forget) {
                    rows.extend(more);
                    is_forget.extend(vec![true; forget.len()]);
                    sets.push(forget);
                }
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
            Samples::Features(self.joined(model, &sets)?)
        };
        Ok(Some(Evidence {
            lowers: self.lowers(ready),
            samples,
            rows,
            is_forget,
            target,
        }))
    }

    /// The rows of classes that are forgotten as a whole. A bias that is not among what is edited
    /// is left alone; where there is none, the weight is what can be lowered.
    fn lowers(&self, ready: &Ready) -> SuppressibleRows {
        let Forget::Classes(classes) = self.forget() else {
            return SuppressibleRows::default();
        };
        let [weight, bias] = ready.selected.head;
        let part = if ready.model.has_bias() {
            HeadPart::Bias
        } else {
            HeadPart::Weight
        };
        let edited = match part {
            HeadPart::Bias => bias,
            HeadPart::Weight => weight,
        };
        let labels = (0u32..).zip(&ready.model.manifest.labels);
        let rows = labels
            .filter(|(_, label)| self.options.lower && edited && classes.contains(*label))
            .map(|(row, _)| row);
        SuppressibleRows {
            rows: rows.collect(),
            part,
        }
    }

    fn joined(&self, model: &LoadedModel, sets: &[DataSet]) -> Result<Arc<Matrix>, EngineError> {
        let mut parts = Vec::with_capacity(sets.len());
        for set in sets {
            parts.push(self.features.of(model, set, self.progress)?);
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
        let retain_loss = self.options.target_loss;
        let aim = |forget| {
            Some(Target {
                forget,
                retain_loss,
            })
        };
        if let Some(forget) = self.options.target_forget {
            return Ok(aim(forget));
        }
        if let Forget::Classes(_) = self.forget() {
            return Ok(aim(0.0));
        }
        let Some(data) = self.data else {
            return Ok(None);
        };
        let labels: Vec<u32> = rows
            .iter()
            .zip(is_forget)
            .filter(|(_, forget)| **forget)
            .map(|(row, _)| *row)
            .collect();
        let names = data.heldout.label_names();
        let of_labels = data.heldout.filter(|label, _| {
            let name = &names[label as usize];
            let row = model.manifest.labels.iter().position(|known| known == name);
            row.is_some_and(|row| labels.contains(&(row as u32)))
        });
        if of_labels.is_empty() {
            return Ok(None);
        }
        let features = self.features.of(model, &of_labels, self.progress)?;
        let logits = self.features.logits(model, &features)?;
        let right = model
            .rows(&of_labels)?
            .iter()
            .enumerate()
            .filter(|(n, row)| argmax(logits.view().row(*n)) == **row as usize)
            .count();
        Ok(aim(right as f64 / of_labels.len() as f64))
    }
}
