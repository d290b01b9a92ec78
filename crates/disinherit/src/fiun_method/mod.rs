//! Fisher Inheritance Unlearning (FIUn) as a method of the engine.
//!
//! The Fisher information of the forget data on the initial models selects the parameters to dampen
//! in every touched model, each on its own. Source: Liu et al., arXiv:2408.08493, Section 4.

mod edit;
mod in_parts;
mod inner;
mod options;
mod tensor;

use disinherit_nets::{LastStage, StateDict};
use disinherit_registry::{InnerEdit, MethodName};
use fiun::Dampening;
use serde_json::{Value, json};
use umig::{Forget, ModelId, Scope};

use crate::cards::FisherOptions;
use crate::error::EngineError;
use crate::evidence::{Collecting, Evidence, InnerPart, Strength};
use crate::method::{Edit, Method};
use crate::model::LoadedModel;
use crate::runner::Runner;
use crate::work::Work;

use self::edit::Dampen;
use self::inner::Inner;

pub use self::options::{Alpha, EditDepth, FiunOptions, Scale};

/// Fisher Inheritance Unlearning.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fiun {
    options: FiunOptions,
}

impl Fiun {
    /// FIUn with options.
    pub fn new(options: FiunOptions) -> Self {
        Self { options }
    }
}

impl Method for Fiun {
    fn name(&self) -> MethodName {
        MethodName::new(if self.options.own_forget {
            "ssd"
        } else {
            "fiun"
        })
    }

    fn settings(&self) -> Result<Value, EngineError> {
        let options = &self.options;
        let mut settings = json!({
            "alpha": options.alpha,
            "lambda": options.lambda,
            "scale": options.scale,
            "merge_scale": options.merge_scale,
            "target_forget": options.target_forget,
            "target_loss": options.target_loss,
            "fisher": options.fisher.settings(),
            "suppress": options.suppress,
        });
        if options.depth != EditDepth::Outputs {
            settings["depth"] = json!(options.depth);
            if let Some(ridge) = options.ridge {
                settings["ridge"] = json!(ridge);
            }
        }
        Ok(settings)
    }

    fn check(&self, _: &Forget) -> Result<(), EngineError> {
        if let Some(ridge) = self.options.ridge
            && !(ridge > 0.0 && ridge.is_finite())
        {
            return Err(EngineError::Setting(format!(
                "the ridge must be a number above 0, not {ridge}"
            )));
        }
        Dampening::new(1.0, self.options.lambda.unwrap_or(1.0))
            .map(drop)
            .map_err(|error| EngineError::Setting(error.to_string()))
    }

    fn needs_data(&self) -> bool {
        false
    }

    fn fisher(&self) -> Option<&FisherOptions> {
        Some(&self.options.fisher)
    }

    fn scope(&self, scope: &Scope) -> Scope {
        if self.options.own_forget {
            scope.each_alone()
        } else {
            scope.clone()
        }
    }

    fn purpose(&self, _level: usize) -> &'static str {
        "merge, select and dampen in every touched model"
    }

    fn edits_features(
        &self,
        forget: &Forget,
        model: &LoadedModel,
        runner: Option<&dyn Runner>,
        described: bool,
    ) -> bool {
        self.options
            .goes_to_features(forget, model, runner, described)
    }

    fn last_stage_steps(&self, model: &LoadedModel) -> Option<usize> {
        let stage = LastStage::for_architecture(&model.architecture)
            .ok()
            .flatten();
        let steps = stage.filter(|_| self.options.trains_last_stage());
        steps.map(|_| inner::MOST_STEPS)
    }

    fn runs_in_parallel(&self) -> bool {
        true
    }

    fn shallower(
        &self,
        work: &Work<'_>,
        model: &LoadedModel,
        edit: &Edit,
        why: String,
    ) -> Result<Option<Edit>, EngineError> {
        let Some(inner) = edit.inner.as_ref().filter(|inner| inner.layer.is_some()) else {
            return Ok(None);
        };
        let record = InnerEdit {
            trials: inner.trials.clone(),
            outputs_only: Some(why),
            ..InnerEdit::default()
        };
        self.outputs(work, model, record).map(Some)
    }

    fn evidence(&self, work: &Work<'_>, model: &ModelId) -> Result<Option<Evidence>, EngineError> {
        let opened = work.model(model)?;
        let described = inner::can_draw(work, &opened);
        let (options, runner) = (&self.options, work.features.runner());
        let inner = match options.goes_to_features(work.forget(), &opened, runner, described) {
            true => Some(Inner::new(work, options).part(&opened)?),
            false if options.wants_features(work.forget()) => Inner::out_of_reach(&opened),
            false => None,
        };
        let strength = match &inner {
            Some(part) if part.is_edit() => None,
            _ => self.strength(work, model)?,
        };
        let any = strength.is_some() || inner.is_some();
        Ok(any.then_some(Evidence { strength, inner }))
    }

    fn edit(
        &self,
        work: &Work<'_>,
        model: &LoadedModel,
        evidence: Option<&Evidence>,
    ) -> Result<Edit, EngineError> {
        let inner = evidence.and_then(|evidence| evidence.inner.as_ref());
        // The head's rows of the forgotten labels are written anew there: nothing is left to dampen.
        if let Some(part) = inner.filter(|part| part.is_edit()) {
            let edit = Edit::from_state(work.registry(), model, &part.changed)?;
            return Ok(Edit {
                inner: Some(part.record.clone()),
                ..edit
            });
        }
        let (card, selected) = (work.cards.get(model.id()), work.selected.get(model.id()));
        let (Some(card), Some(selected)) = (card, selected) else {
            return Err(EngineError::Internal(format!(
                "the Fisher information of `{}` was not obtained",
                model.id()
            )));
        };
        let dampen = Dampen {
            work,
            options: &self.options,
            model,
            card: &card.opened(work.registry())?,
            selected,
        };
        let strength = evidence.and_then(|evidence| evidence.strength.as_ref());
        let outputs = match strength.is_none() && dampen.is_large()? {
            true => dampen.in_parts()?,
            false => dampen.edit(strength)?,
        };
        Ok(Edit {
            inner: inner.map(|part| part.record.clone()),
            ..outputs
        })
    }
}

impl Fiun {
    /// The edit of the outputs alone, with what was tried below them.
    fn outputs(
        &self,
        work: &Work<'_>,
        model: &LoadedModel,
        record: InnerEdit,
    ) -> Result<Edit, EngineError> {
        let evidence = Evidence {
            strength: self.strength(work, model.id())?,
            inner: Some(InnerPart {
                changed: StateDict::new(),
                record,
            }),
        };
        self.edit(work, model, Some(&evidence))
    }

    /// What alpha is chosen on.
    fn strength(&self, work: &Work<'_>, model: &ModelId) -> Result<Option<Strength>, EngineError> {
        let searches = self.options.alpha == Alpha::Auto && work.engine.data().is_some();
        let Some(selected) = work.selected.get(model).filter(|_| searches) else {
            return Ok(None);
        };
        let collecting = Collecting {
            work,
            fisher: &self.options.fisher,
            target_forget: self.options.target_forget,
            target_loss: self.options.target_loss,
            suppress: self.options.suppress,
        };
        let opened = work.model(model)?;
        collecting.strength(&opened, selected)
    }
}
