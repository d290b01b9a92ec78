//! NegGrad+: descent on the retained data beside ascent on the forget data.

use disinherit::EngineError;
use disinherit_nets::{StateDict, Term};

use super::describe::{Description, How};
use super::kind::MethodKind;
use super::tuning::Tuning;

/// What it is, and where it comes from.
pub(super) const DESCRIPTION: Description = Description {
    kind: MethodKind::NegGradPlus,
    name: "neg-grad-plus",
    purpose: "ascend on the forget data while descending on the retained data",
    source: "Kurmanji et al., arXiv:2302.09880",
    classes_only: false,
    how: How::Trained(edit),
};

fn edit(tuning: &Tuning<'_>) -> Result<StateDict, EngineError> {
    let sets = tuning.sets;
    sets.need_forget(tuning.method)?;
    let weight = tuning.settings.forget_weight;
    let mut phase = tuning.retained(1.0 - weight, tuning.settings.epochs);
    let away = Term::labels(&sets.forget, &sets.forget_rows, -weight);
    phase.terms.push(away);
    tuning.train(&[phase])
}
