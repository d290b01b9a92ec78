//! UNSIR: impair with noise, then repair.
//!
//! A batch of noise for each forgotten class is trained to maximise the error under that class's
//! label. One epoch on this noise and on a part of the retained data then impairs the class, and one
//! epoch on that part alone, at half the rate, repairs the rest. Source: Tarun et al., "Fast Yet
//! Effective Machine Unlearning", arXiv:2111.08947. The noise is [`error_maximising_noise`]; 40 steps,
//! Adam with rates of 0.02 and 0.01, and 1,000 retained samples of each class are those of the authors'
//! code.
//!
//! What differs: the code shuffles 20 copies of the noise among the retained samples; here every step
//! has a batch of each, which is nearly the same share, and batch norms see the two apart. Epochs
//! beyond two repair longer.

use std::collections::BTreeMap;

use disinherit::EngineError;
use disinherit_nets::{
    NoiseJob, Optimizer, Phase, Source, StateDict, Term, TrainingConfig, error_maximising_noise,
};

use super::describe::{Description, How};
use super::kind::MethodKind;
use super::tuning::Tuning;

/// Steps that train the noise.
const NOISE_STEPS: usize = 40;

/// Retained samples of each class, at most.
const RETAINED: usize = 1000;

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
    let settings = tuning.settings;
    let noise = error_maximising_noise(&NoiseJob {
        architecture: &model.architecture,
        state: &sets.state,
        rows: &sets.forgotten,
        count: settings.batch_size,
        steps: NOISE_STEPS,
        compute: tuning.compute,
        seed: settings.seed,
    })
    .map_err(EngineError::net(model.id()))?;
    let (retained, rows) = sets.retained_of_each(RETAINED);
    let of_retained = || Term::labels(&retained, &rows, 1.0);
    let impair = Phase {
        terms: vec![
            of_retained(),
            Term {
                labels: Some((&noise.rows, settings.forget_weight)),
                ..Term::new(Source::Noise(&noise))
            },
        ],
        epochs: 1,
    };
    let repair = Phase {
        terms: vec![of_retained()],
        epochs: settings.epochs.saturating_sub(1).max(1),
    };
    let config = TrainingConfig {
        optimizer: Optimizer::Adam,
        ..settings.training()
    };
    let free = BTreeMap::new();
    let state = tuning.train_from(&sets.state, &config, &[impair], &free)?;
    let config = TrainingConfig {
        learning_rate: config.learning_rate / 2.0,
        ..config
    };
    tuning.train_from(&state, &config, &[repair], &free)
}
