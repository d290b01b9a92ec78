//! The edit below the head: the penultimate layer is taught what a model that never knew the forget
//! data would write of it (REMAP, [`fiun::RemapSums`]), and the head's rows of the forgotten labels
//! are written anew.
//!
//! Everything is chosen on samples of the model's own training data that the edit is not computed
//! from; held-out data is left to the verdict.

mod choose;
mod collect;
mod described;
mod drawn;
mod elsewhere;
mod graph;
mod guesses;
mod here;
mod layer;
mod material;
mod open;
mod refine;
mod smoothed;
mod weight;

use std::collections::BTreeSet;

use disinherit_registry::InnerEdit;
use umig::Forget;

use self::choose::{Bounds, Chooser};
use self::collect::collect;
pub(super) use self::drawn::can_draw;
use self::drawn::{NONE, draw};
use self::layer::Layer;
use self::material::Material;
pub(super) use self::refine::MOST_STEPS;
use self::refine::Refiner;

use super::options::FiunOptions;
use crate::error::EngineError;
use crate::evidence::InnerPart;
use crate::format;
use crate::graph_layer::undescribed;
use crate::model::LoadedModel;
use crate::refusal::Refusal;
use crate::work::Work;

/// Says that no data was given.
const NO_DATA: &str = "there is no data";

/// No part below the head, and why.
fn outputs_only(reason: String) -> InnerPart {
    InnerPart {
        changed: disinherit_nets::StateDict::new(),
        record: InnerEdit {
            outputs_only: Some(reason),
            ..InnerEdit::default()
        },
    }
}

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
            Err(Refusal::Reason(reason)) => Ok(outputs_only(reason)),
            Err(Refusal::Error(error)) => Err(error),
        }
    }

    /// The part for a model that nothing here runs. One that has layers below its head is only edited in its outputs,
    /// and the record says why; of a head alone there is no more to edit.
    pub(super) fn out_of_reach(model: &LoadedModel) -> Option<InnerPart> {
        let head = model.architecture.head();
        let of_head = |name: &str| {
            let rest = name.strip_prefix(head);
            rest.is_some_and(|rest| rest.starts_with('.'))
        };
        let below = model.manifest.tensors.names().any(|name| !of_head(name));
        below.then(|| {
            outputs_only(
                "nothing here runs its network, and its FIM card keeps no activation statistics"
                    .into(),
            )
        })
    }

    fn attempt(&self, model: &LoadedModel) -> Result<InnerPart, Refusal> {
        let Forget::Classes(classes) = self.work.forget() else {
            return Err("only whole classes are forgotten below the head".into());
        };
        let has_data = self.work.splits().is_ok();
        let runs = !model.is_head_only() || format::is_graph(model)?;
        if !has_data && runs && !can_draw(self.work, model) {
            return Err(self.nothing_to_go_by(model));
        }
        let layer = open::open(self.work, model)?;
        let layer = layer.as_ref();
        let material = self.material(model, layer, classes)?;
        let bounds = Bounds {
            forget: self.options.target_forget.unwrap_or(0.0),
            loss: self.options.target_loss,
            ridge: self.options.ridge,
        };
        let chooser = Chooser::new(self.work.registry(), bounds, model, layer, &material)?;
        let chosen = chooser.choose()?;
        let refiner = Refiner::new(self.work, model, layer, &material)?;
        let refiner = refiner.filter(|_| self.options.trains_last_stage());
        let refined = refiner.map(|refiner| refiner.refine(&chooser, &chosen));
        let (refined, one_layer_only) = match refined.transpose() {
            Ok(refined) => (refined.flatten(), None),
            Err(Refusal::Reason(why)) => (None, Some(why)),
            Err(error) => return Err(error),
        };
        let (changed, refined) = match refined {
            Some(refined) => (refined.changed, Some(refined.record)),
            None => {
                let mut changed = layer.corrected(&chosen.correction)?;
                changed.extend(chosen.head);
                (changed, None)
            }
        };
        Ok(InnerPart {
            changed,
            record: InnerEdit {
                basis: material.basis,
                layer: Some(layer.weight().to_owned()),
                reference: material.reference.clone(),
                ridge: Some(chosen.ridge),
                trials: chosen.trials,
                refined,
                one_layer_only,
                outputs_only: None,
            },
        })
    }

    /// Says that there is neither data nor a card that describes classes, and why there can be none.
    fn nothing_to_go_by(&self, model: &LoadedModel) -> Refusal {
        let why = match format::is_graph(model) {
            Ok(true) => undescribed(self.work.registry(), model),
            Ok(false) => Ok(None),
            Err(error) => Err(error),
        };
        let why = match why {
            Ok(why) => why.map_or_else(String::new, |why| format!(": {why}")),
            Err(error) => return error.into(),
        };
        Refusal::Reason(format!("{NO_DATA}, and {NONE}{why}"))
    }

    /// From samples; where there are none, from what the model's card keeps of their activations.
    fn material(
        &self,
        model: &LoadedModel,
        layer: &dyn Layer,
        classes: &BTreeSet<String>,
    ) -> Result<Material, Refusal> {
        let (work, why) = (self.work, |found: &str| {
            let found = found.to_owned();
            move |refusal| match refusal {
                Refusal::Reason(reason) => Refusal::Reason(format!("{found}, and {reason}")),
                error => error,
            }
        });
        if work.splits().is_err() || layer.is_described() {
            return draw(work, model, layer, classes).map_err(why(NO_DATA));
        }
        match collect(work, model, layer, classes)? {
            Ok(material) => Ok(material),
            Err(found) => draw(work, model, layer, classes).map_err(why(&format!(
                "the data has {found} forget samples that it or an initial model was trained on"
            ))),
        }
    }
}
