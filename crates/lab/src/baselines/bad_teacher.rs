//! Bad teacher: a fresh network teaches the forget data, the old one the rest.

use disinherit::EngineError;
use disinherit_nets::{Phase, StateDict, Teacher, Term};

use super::describe::{Description, How};
use super::kind::MethodKind;
use super::tuning::Tuning;

/// What it is, and where it comes from.
pub(super) const DESCRIPTION: Description = Description {
    kind: MethodKind::BadTeacher,
    name: "bad-teacher",
    purpose: "imitate a fresh network on the forget data and the old one on the rest",
    source: "Chundawat et al., arXiv:2205.08096",
    classes_only: false,
    how: How::Trained(edit),
};

fn edit(tuning: &Tuning<'_>) -> Result<StateDict, EngineError> {
    let sets = tuning.sets;
    sets.need_forget(tuning.method)?;
    let competent = tuning.logits(&sets.state, &sets.retain)?;
    let incompetent = tuning.logits(&tuning.fresh()?, &sets.forget)?;
    let teacher = |logits, weight| Teacher {
        logits,
        temperature: tuning.settings.temperature,
        weight,
    };
    let terms = vec![
        Term::teacher(&sets.retain, teacher(&competent, 1.0)),
        Term::teacher(
            &sets.forget,
            teacher(&incompetent, tuning.settings.forget_weight),
        ),
    ];
    tuning.train(&[Phase {
        terms,
        epochs: tuning.settings.epochs,
    }])
}
