//! SalUn: random labels where the forget data's gradient is large.

use std::collections::BTreeMap;

use disinherit::EngineError;
use disinherit_nets::{Array, StateDict, TrainingJob, loss_gradient};

use super::describe::{Description, How};
use super::kind::MethodKind;
use super::random_labels::randomised;
use super::tuning::Tuning;

/// What it is, and where it comes from.
pub(super) const DESCRIPTION: Description = Description {
    kind: MethodKind::SalUn,
    name: "sal-un",
    purpose: "random labels, changing only the parameters in which the forget data's gradient is large",
    source: "Fan et al., arXiv:2310.12508",
    classes_only: false,
    how: How::Trained(edit),
};

/// Random labels, changing only the salient parameters.
fn edit(tuning: &Tuning<'_>) -> Result<StateDict, EngineError> {
    randomised(tuning, &salient(tuning)?)
}

/// 1 for the parameters in which the forget data's gradient is largest, over all tensors.
fn salient(tuning: &Tuning<'_>) -> Result<BTreeMap<String, Vec<f32>>, EngineError> {
    let sets = tuning.sets;
    sets.need_forget(tuning.method)?;
    let model = &sets.model;
    let job = TrainingJob {
        architecture: &model.architecture,
        state: &sets.state,
        set: &sets.forget,
        rows: &sets.forget_rows,
        preprocessing: &model.preprocessing,
        config: &tuning.settings.training(),
        frozen: &|_| false,
        compute: tuning.compute,
        seed: tuning.settings.seed,
    };
    let gradient = loss_gradient(&job).map_err(EngineError::net(model.id()))?;
    let mut sizes: Vec<f32> = gradient
        .values()
        .flat_map(|array| array.values.iter().map(|v| v.abs()))
        .collect();
    let kept = (tuning.settings.saliency.clamp(0.0, 1.0) * sizes.len() as f64) as usize;
    let bound = match sizes.len().checked_sub(kept.max(1)) {
        Some(place) => *sizes.select_nth_unstable_by(place, f32::total_cmp).1,
        None => 0.0,
    };
    let mask = |array: &Array| {
        let above = |v: &f32| f32::from(u8::from(v.abs() >= bound));
        array.values.iter().map(above).collect()
    };
    Ok(gradient
        .iter()
        .map(|(name, array)| (name.clone(), mask(array)))
        .collect())
}
