//! LFSSD: selective synaptic dampening without labels or a loss.
//!
//! As SSD, a parameter is dampened where it matters more to the forget data than to all of a model's
//! data; what matters is the sensitivity of the squared norm of the outputs instead of the squared
//! gradient of the loss ([`disinherit_nets::output_sensitivity`]). All layers are dampened, and each
//! model is judged by its own data. Source: Foster et al., "Loss-Free Machine Unlearning",
//! arXiv:2402.19308; selection and dampening are those of SSD (arXiv:2308.07707), with its lambda of 1
//! where none is given.
//!
//! What differs: alpha is 5 where none is given. SSD's 10 selects nothing that matters on the embedded
//! digits, as it does for SSD there; 3 costs the rest 18 points. Batches of the forget data and of the retained data are kept apart, and the
//! sensitivity to all data is the mean over the batches of both.

use std::collections::BTreeMap;

use disinherit::{Alpha, Edit, EngineError, Evidence, FiunOptions, LoadedModel, Method, Work};
use disinherit_data::DataSet;
use disinherit_nets::{SensitivityJob, output_sensitivity};
use disinherit_registry::MethodName;
use fiun::{Dampening, FisherError, FisherTensor, Selection, dampen};
use serde_json::{Value, json};
use umig::Forget;

use super::describe::{Description, How};
use super::kind::MethodKind;
use super::sets::Sets;
use super::settings::Settings;

/// What it is, and where it comes from.
pub(super) const DESCRIPTION: Description = Description {
    kind: MethodKind::Lfssd,
    name: "lfssd",
    purpose: "selective synaptic dampening by the sensitivity of the outputs, without labels or a loss",
    source: "Foster et al., arXiv:2402.19308",
    classes_only: false,
    how: How::Graph,
};

/// The threshold where none is given: what served the embedded digits.
const ALPHA: f64 = 5.0;

/// A sensitivity for every parameter, by tensor.
type Sensitivity = BTreeMap<String, FisherTensor>;

/// LFSSD.
pub(super) struct Lfssd {
    alpha: f64,
    lambda: f64,
    settings: Settings,
}

impl Lfssd {
    /// With the thresholds of FIUn's options where they are given, and the settings' batch size.
    pub(super) fn new(options: &FiunOptions, settings: &Settings) -> Self {
        Self {
            alpha: match options.alpha {
                Alpha::Value(alpha) => alpha,
                Alpha::Auto | Alpha::Rule => ALPHA,
            },
            lambda: options.lambda.unwrap_or(1.0),
            settings: settings.clone(),
        }
    }

    fn dampening(&self) -> Result<Dampening, EngineError> {
        Dampening::new(self.alpha, self.lambda)
            .map_err(|error| EngineError::Setting(error.to_string()))
    }

    /// The sensitivity of a model to some of its data.
    fn sensitivity(
        &self,
        work: &Work<'_>,
        sets: &Sets,
        set: &DataSet,
    ) -> Result<Sensitivity, EngineError> {
        let model = &sets.model;
        let title = format!("{} {}", DESCRIPTION.name, model.id());
        let stage = work.progress().stage(&title, set.len() as u64);
        let job = SensitivityJob {
            architecture: &model.architecture,
            state: &sets.state,
            set,
            preprocessing: &model.preprocessing,
            batch_size: self.settings.batch_size,
        };
        output_sensitivity(&job, &mut |samples| stage.advance(samples as u64))
            .map_err(EngineError::net(model.id()))
    }

    /// The share of the forget data's batches among all.
    fn share(&self, sets: &Sets) -> f64 {
        let batches = |set: &DataSet| set.len().div_ceil(self.settings.batch_size.max(1)) as f64;
        let forget = batches(&sets.forget);
        forget / (forget + batches(&sets.retain))
    }
}

impl Method for Lfssd {
    fn name(&self) -> MethodName {
        MethodName::new(DESCRIPTION.name)
    }

    fn settings(&self) -> Result<Value, EngineError> {
        Ok(json!({
            "alpha": self.alpha,
            "lambda": self.lambda,
            "batch_size": self.settings.batch_size,
        }))
    }

    fn check(&self, _: &Forget) -> Result<(), EngineError> {
        self.dampening().map(drop)
    }

    fn edit(
        &self,
        work: &Work<'_>,
        model: &LoadedModel,
        _: Option<&Evidence>,
    ) -> Result<Edit, EngineError> {
        let sets = Sets::find(work, model, DESCRIPTION.kind)?;
        sets.need_forget(DESCRIPTION.kind)?;
        let forget = self.sensitivity(work, &sets, &sets.forget)?;
        let retain = self.sensitivity(work, &sets, &sets.retain)?;
        let share = self.share(&sets);
        let dampening = self.dampening()?;
        let mut state = sets.state.clone();
        let mut selections: BTreeMap<String, Selection> = BTreeMap::new();
        for (name, of_forget) in &forget {
            let (Some(of_retain), Some(array)) = (retain.get(name), state.get_mut(name)) else {
                continue;
            };
            let wrap = || EngineError::fisher(model.id(), name);
            let of_all = mixed(of_forget, of_retain, share).map_err(wrap())?;
            let theta = array.values.clone();
            let selection =
                dampen(&theta, of_forget, &of_all, dampening, &mut array.values).map_err(wrap())?;
            selections.insert(name.clone(), selection);
        }
        let mut edit = Edit::from_state(work.registry(), model, &state)?;
        for (name, made) in selections {
            if let Some(selection) = edit.tensors.get_mut(&name) {
                selection.selected = made.selected;
                selection.factor_sum = made.factor_sum;
            }
        }
        edit.alpha = Some(self.alpha);
        edit.lambda = Some(self.lambda);
        Ok(edit)
    }
}

/// `share` of one and the rest of the other, parameter by parameter.
fn mixed(
    one: &FisherTensor,
    other: &FisherTensor,
    share: f64,
) -> Result<FisherTensor, FisherError> {
    let pairs = one.entries().zip(other.entries());
    let sums: Vec<f64> = pairs.map(|(a, b)| share * a + (1.0 - share) * b).collect();
    FisherTensor::from_sums(one.shape(), &sums, 1.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sensitivities_are_mixed_by_their_batches() {
        let tensor = |values: &[f32]| FisherTensor::from_values(&[2], values).unwrap();
        let all = mixed(&tensor(&[4.0, 0.0]), &tensor(&[0.0, 8.0]), 0.25).unwrap();
        assert_eq!(all.entries().collect::<Vec<_>>(), [1.0, 6.0]);
    }
}
