//! SCRUB: away from the old model on the forget data, close to it on the rest.

use disinherit::EngineError;
use disinherit_nets::{Phase, Source, StateDict, Teacher, Term};

use super::describe::{Description, How};
use super::kind::MethodKind;
use super::tuning::Tuning;

/// Epochs in which it gets away from the old model on the forget data.
const AWAY: usize = 2;

/// Weights of the cross-entropy and of the distance to the old model on retained data.
const STAY: [f64; 2] = [0.99, 0.001];

/// What it is, and where it comes from.
pub(super) const DESCRIPTION: Description = Description {
    kind: MethodKind::Scrub,
    name: "scrub",
    purpose: "get away from the old model on the forget data and stay close to it on the rest, in turns",
    source: "Kurmanji et al., arXiv:2302.09880",
    classes_only: false,
    how: How::Trained(edit),
};

fn edit(tuning: &Tuning<'_>) -> Result<StateDict, EngineError> {
    let sets = tuning.sets;
    sets.need_forget(tuning.method)?;
    let of_forget = tuning.logits(&sets.state, &sets.forget)?;
    let of_retain = tuning.logits(&sets.state, &sets.retain)?;
    let temperature = tuning.settings.temperature;
    let away = || Phase {
        terms: vec![Term::teacher(
            &sets.forget,
            Teacher {
                logits: &of_forget,
                temperature,
                weight: -tuning.settings.forget_weight,
            },
        )],
        epochs: 1,
    };
    let stay = || Phase {
        terms: vec![Term {
            labels: Some((&sets.retain_rows, STAY[0])),
            teacher: Some(Teacher {
                logits: &of_retain,
                temperature,
                weight: STAY[1],
            }),
            ..Term::new(Source::Set(&sets.retain))
        }],
        epochs: 1,
    };
    let mut phases = Vec::new();
    for epoch in 0..tuning.settings.epochs {
        if epoch < AWAY {
            phases.push(away());
        }
        phases.push(stay());
    }
    tuning.train(&phases)
}
