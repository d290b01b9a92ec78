//! The edit below the head: the penultimate layer is taught what a model that never knew the forget
//! data would write of it (REMAP, [`fiun::RemapSums`]), and the head's rows of the forgotten labels
//! are written anew.
//!
//! Everything is chosen on samples of the model's own training data that the edit is not computed
//! from; held-out data is left to the verdict.

mod choose;
mod collect;
mod layer;
mod refusal;

use disinherit_registry::InnerEdit;
use umig::Forget;

use self::choose::{Bounds, Chooser};
use self::collect::Material;
use self::refusal::Refusal;
use super::options::FiunOptions;
use crate::error::EngineError;
use crate::evidence::InnerPart;
use crate::model::LoadedModel;
use crate::work::Work;

/// Works out the part of an edit that lies below the head.
pub(super) struct Inner<'a> {
    work: &'a Work<'a>,
    options: &'a FiunOptions,
}

impl<'a> Inner<'a> {
    pub(super) fn new(work: &'a Work<'a>, options: &'a FiunOptions) -> Self {
        Self { work, options }
    }

    /// The part for one model; where it cannot be had, the record says why only the head is edited.
    pub(super) fn part(&self, model: &LoadedModel) -> Result<InnerPart, EngineError> {
        match self.attempt(model) {
            Ok(part) => Ok(part),
            Err(Refusal::Reason(reason)) => Ok(InnerPart {
                changed: disinherit_nets::StateDict::new(),
                record: InnerEdit {
                    outputs_only: Some(reason),
                    ..InnerEdit::default()
                },
            }),
            Err(Refusal::Error(error)) => Err(error),
        }
    }

    fn attempt(&self, model: &LoadedModel) -> Result<InnerPart, Refusal> {
        let Forget::Classes(classes) = self.work.forget() else {
            return Err("only whole classes are forgotten below the head".into());
        };
        let layer = layer::open(self.work, model)?;
        let layer = layer.as_ref();
        let material = Material::collect(self.work, model, layer, classes)?;
        let bounds = Bounds {
            forget: self.options.target_forget.unwrap_or(0.0),
            loss: self.options.target_loss,
        };
        let chooser = Chooser::new(self.work.registry(), bounds, model, layer, &material)?;
        let chosen = chooser.choose()?;
        let mut changed = layer.corrected(&chosen.correction)?;
        changed.extend(chosen.head);
        Ok(InnerPart {
            changed,
            record: InnerEdit {
                basis: material.basis,
                layer: Some(layer.weight().to_owned()),
                reference: material.reference.clone(),
                ridge: Some(chosen.ridge),
                trials: chosen.trials,
                outputs_only: None,
            },
        })
    }
}
