//! Gradient ascent on the forget data at the initial models; descendants copy the difference.

use disinherit::{Edit, EngineError, Evidence, LoadedModel, Method, Work};
use disinherit_nets::{Phase, StateDict, Term, add_change, difference};
use disinherit_registry::MethodName;
use serde_json::Value;
use umig::Forget;

use super::describe::{Description, How};
use super::kind::MethodKind;
use super::sets::Sets;
use super::settings::Settings;
use super::trained::settings;
use super::tuning::Tuning;

/// What it is, and where it comes from.
pub(super) const DESCRIPTION: Description = Description {
    kind: MethodKind::GradientAscent,
    name: "gradient-ascent",
    purpose: "ascend the loss of the forget data at the initial models, and copy the difference to \
              their descendants",
    source: "Thudi et al., arXiv:2109.13398; as a baseline in arXiv:2408.08493",
    classes_only: false,
    how: How::Graph,
};

/// Gradient ascent.
pub(super) struct GradientAscent {
    pub(super) settings: Settings,
}

impl Method for GradientAscent {
    fn name(&self) -> MethodName {
        MethodName::new(DESCRIPTION.name)
    }

    fn settings(&self) -> Result<Value, EngineError> {
        settings(&self.settings)
    }

    fn check(&self, _: &Forget) -> Result<(), EngineError> {
        Ok(())
    }

    fn copies_differences(&self) -> bool {
        true
    }

    fn difference(&self, work: &Work<'_>, model: &LoadedModel) -> Result<StateDict, EngineError> {
        let sets = Sets::find(work, model, DESCRIPTION.kind)?;
        sets.need_forget(DESCRIPTION.kind)?;
        let tuning = Tuning {
            method: DESCRIPTION.kind,
            settings: &self.settings,
            compute: work.compute(),
            sets: &sets,
            progress: work.progress(),
        };
        let after = tuning.train(&[Phase {
            terms: vec![Term::labels(&sets.forget, &sets.forget_rows, -1.0)],
            epochs: self.settings.epochs,
        }])?;
        Ok(difference(&after, &sets.state))
    }

    fn edit(
        &self,
        work: &Work<'_>,
        model: &LoadedModel,
        _: Option<&Evidence>,
    ) -> Result<Edit, EngineError> {
        let reached = work
            .scope()
            .reached_by
            .get(model.id())
            .into_iter()
            .flatten();
        let mut state = model.state(work.registry())?;
        for change in reached.filter_map(|id| work.difference(id)) {
            add_change(&mut state, change, 1.0);
        }
        model
            .architecture
            .check(&state)
            .map_err(EngineError::net(model.id()))?;
        Edit::from_state(work.registry(), model, &state)
    }
}
