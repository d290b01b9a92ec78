//! UNSIR: impair with noise, then repair.

use std::collections::BTreeMap;

use disinherit::EngineError;
use disinherit_nets::{NoiseJob, Source, StateDict, Term, TrainingConfig, error_maximising_noise};

use super::describe::{Description, How};
use super::kind::MethodKind;
use super::tuning::Tuning;

/// Images of noise for each forgotten class, and steps that train them.
const NOISE_IMAGES: usize = 64;
const NOISE_STEPS: usize = 40;

/// What it is, and where it comes from.
pub(super) const DESCRIPTION: Description = Description {
    kind: MethodKind::Unsir,
    name: "unsir",
    purpose: "impair with noise that maximises the error of the forgotten classes, then repair",
    source: "Tarun et al., arXiv:2111.08947",
    classes_only: true,
    how: How::Trained(edit),
};

fn edit(tuning: &Tuning<'_>) -> Result<StateDict, EngineError> {
    let sets = tuning.sets;
    let model = &sets.model;
    let noise = error_maximising_noise(&NoiseJob {
        architecture: &model.architecture,
        state: &sets.state,
        rows: &sets.forgotten,
        count: NOISE_IMAGES,
        steps: NOISE_STEPS,
        compute: tuning.compute,
        seed: tuning.settings.seed,
    })
    .map_err(EngineError::net(model.id()))?;
    let mut impair = tuning.retained(1.0, 1);
    impair.terms.push(Term {
        source: Source::Noise(&noise),
        labels: Some((&noise.rows, tuning.settings.forget_weight)),
        teacher: None,
    });
    let state = tuning.train(&[impair])?;
    // The paper repairs at half the rate.
    let repair = TrainingConfig {
        learning_rate: tuning.settings.learning_rate / 2.0,
        ..tuning.settings.training()
    };
    let epochs = tuning.settings.epochs.saturating_sub(1).max(1);
    tuning.train_from(
        &state,
        &repair,
        &[tuning.retained(1.0, epochs)],
        &BTreeMap::new(),
    )
}
