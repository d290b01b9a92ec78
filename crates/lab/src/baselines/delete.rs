//! DELETE: the model imitates itself on the forget data, the forgotten output left out.
//!
//! The teacher is the model as it was, with the logit of a sample's own class masked before the
//! softmax: nothing is left on that class, and the others keep their proportions. The loss is
//! `KL(teacher || model)` on the forget data alone. Source: Zhou et al., "Decoupled Distillation to
//! Erase", CVPR 2025, arXiv:2503.23751, Section 4; SGD with momentum 0.9, no weight decay and 20 epochs
//! as in the authors' code.
//!
//! What differs: where several classes are forgotten, all of their logits are masked, not only the
//! sample's own. The authors' code takes rates from 1e-4 to 1e-3 with thousands of forget samples; the
//! default here is larger.

use disinherit::EngineError;
use disinherit_nets::{Phase, StateDict, Teacher, Term};
use fiun::Matrix;

use super::describe::{Description, How};
use super::kind::MethodKind;
use super::mask::MASKED;
use super::tuning::Tuning;

/// What it is, and where it comes from.
pub(super) const DESCRIPTION: Description = Description {
    kind: MethodKind::Delete,
    name: "delete",
    purpose: "imitate the old model on the forget data, the forgotten outputs left out",
    source: "Zhou et al., arXiv:2503.23751",
    classes_only: true,
    how: How::Trained(edit),
};

fn edit(tuning: &Tuning<'_>) -> Result<StateDict, EngineError> {
    let sets = tuning.sets;
    sets.need_forget(tuning.method)?;
    let mut logits = tuning.logits(&sets.state, &sets.forget)?.into_values();
    let classes = sets.model.architecture.classes.max(1);
    for (row, own) in logits.chunks_exact_mut(classes).zip(&sets.forget_rows) {
        for masked in sets.forgotten.iter().chain([own]) {
            row[*masked as usize] = MASKED;
        }
    }
    let logits = Matrix::new(sets.forget.len(), classes, logits)
        .map_err(|error| EngineError::Internal(format!("`{}`: {error}", sets.model.id())))?;
    let teacher = Teacher {
        logits: &logits,
        temperature: tuning.settings.temperature,
        weight: 1.0,
    };
    tuning.train(&[Phase {
        terms: vec![Term::teacher(&sets.forget, teacher)],
        epochs: tuning.settings.epochs,
    }])
}
