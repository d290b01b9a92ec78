//! Masking the forgotten outputs.

use disinherit::EngineError;
use disinherit_nets::{Array, StateDict};

use super::describe::{Description, How};
use super::kind::MethodKind;
use super::tuning::Tuning;

/// What a masked output says: below every other, and within half precision.
pub(super) const MASKED: f32 = -3e4;

/// What it is, and where it comes from.
pub(super) const DESCRIPTION: Description = Description {
    kind: MethodKind::Mask,
    name: "mask",
    purpose: "the forgotten classes' outputs can no longer win; nothing inside is forgotten",
    source: "-",
    classes_only: true,
    how: How::Trained(edit),
};

fn edit(tuning: &Tuning<'_>) -> Result<StateDict, EngineError> {
    let sets = tuning.sets;
    let mut state = sets.state.clone();
    let [weight, bias] = sets.model.head_tensors();
    let zero = |array: &mut Array, row: usize, value: f32| {
        let width: usize = array.shape.iter().skip(1).product();
        if let Some(place) = array.values.get_mut(row * width..(row + 1) * width) {
            place.fill(value);
        }
    };
    for row in &sets.forgotten {
        if let Some(array) = state.get_mut(&weight) {
            zero(array, *row as usize, 0.0);
        }
        if let Some(array) = state.get_mut(&bias) {
            zero(array, *row as usize, MASKED);
        }
    }
    Ok(state)
}
