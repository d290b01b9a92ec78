//! Distillation into a fresh network.

use std::collections::BTreeMap;

use disinherit::EngineError;
use disinherit_nets::{Phase, StateDict, Teacher, Term};
use fiun::Matrix;

use super::describe::{Description, How};
use super::kind::MethodKind;
use super::mask::MASKED;
use super::tuning::Tuning;

/// What it is, and where it comes from.
pub(super) const DESCRIPTION: Description = Description {
    kind: MethodKind::Distill,
    name: "distill",
    purpose: "a fresh network imitates the old one on the retained data, the forgotten outputs left out",
    source: "Hinton et al., arXiv:1503.02531",
    classes_only: false,
    how: How::Trained(edit),
};

fn edit(tuning: &Tuning<'_>) -> Result<StateDict, EngineError> {
    let sets = tuning.sets;
    let mut logits = tuning.logits(&sets.state, &sets.retain)?.into_values();
    let classes = sets.model.architecture.classes.max(1);
    for row in logits.chunks_exact_mut(classes) {
        for forgotten in &sets.forgotten {
            row[*forgotten as usize] = MASKED;
        }
    }
    let logits = Matrix::new(sets.retain.len(), classes, logits)
        .map_err(|error| EngineError::Internal(format!("`{}`: {error}", sets.model.id())))?;
    let teacher = Teacher {
        logits: &logits,
        temperature: tuning.settings.temperature,
        weight: 1.0,
    };
    let phase = Phase {
        terms: vec![Term::teacher(&sets.retain, teacher)],
        epochs: tuning.settings.epochs,
    };
    let config = tuning.settings.training();
    tuning.train_from(&tuning.fresh()?, &config, &[phase], &BTreeMap::new())
}
