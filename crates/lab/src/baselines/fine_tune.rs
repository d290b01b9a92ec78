//! Fine-tuning on the retained data.

use disinherit::EngineError;
use disinherit_nets::StateDict;

use super::describe::{Description, How};
use super::kind::MethodKind;
use super::tuning::Tuning;

/// What it is, and where it comes from.
pub(super) const DESCRIPTION: Description = Description {
    kind: MethodKind::FineTune,
    name: "fine-tune",
    purpose: "train on with the retained data only",
    source: "-",
    classes_only: false,
    how: How::Trained(edit),
};

/// Trains on with the retained data only.
fn edit(tuning: &Tuning<'_>) -> Result<StateDict, EngineError> {
    tuning.train(&[tuning.retained(1.0, tuning.settings.epochs)])
}
