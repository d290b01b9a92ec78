//! Boundary Shrink: forget samples get the label of the class that lies nearest.
//!
//! One step of the fast gradient sign method carries every forget sample towards the boundary of its
//! class; the largest output there names the class on the other side. Then the model is trained on
//! the forget samples under these labels, and on nothing else. Source: Chen et al., CVPR 2023,
//! arXiv:2303.11570, Section 3.2; the bound of the step, 0.1 of the range of pixels, and the optimizer
//! (SGD with momentum 0.9, no weight decay, 10 epochs) are those of the authors' code.
//!
//! What differs: where the step does not leave the class, the authors' code keeps the class itself as
//! the label; here it is always the largest output among the retained classes. The rate of the paper,
//! 1e-5, is meant for thousands of forget samples; the default here is larger.

use disinherit::EngineError;
use disinherit_nets::{Phase, SignStepJob, StateDict, Term, sign_step};

use super::describe::{Description, How};
use super::kind::MethodKind;
use super::tuning::Tuning;

/// How far the step moves every pixel, as a share of the range of pixels.
const BOUND: f32 = 0.1;

/// What it is, and where it comes from.
pub(super) const DESCRIPTION: Description = Description {
    kind: MethodKind::BoundaryShrink,
    name: "boundary-shrink",
    purpose: "train on the forget data under the label of the class that one step up the loss reaches",
    source: "Chen et al., arXiv:2303.11570",
    classes_only: true,
    how: How::Trained(edit),
};

fn edit(tuning: &Tuning<'_>) -> Result<StateDict, EngineError> {
    let sets = tuning.sets;
    sets.need_forget(tuning.method)?;
    let nearest = nearest_rows(tuning)?;
    tuning.train(&[Phase {
        terms: vec![Term::labels(&sets.forget, &nearest, 1.0)],
        epochs: tuning.settings.epochs,
    }])
}

/// The head row of the nearest retained class, for every forget sample.
fn nearest_rows(tuning: &Tuning<'_>) -> Result<Vec<u32>, EngineError> {
    let sets = tuning.sets;
    let model = &sets.model;
    let moved = sign_step(&SignStepJob {
        architecture: &model.architecture,
        state: &sets.state,
        set: &sets.forget,
        rows: &sets.forget_rows,
        preprocessing: &model.preprocessing,
        bound: BOUND,
    })
    .map_err(EngineError::net(model.id()))?;
    let logits = tuning.logits(&sets.state, &moved)?;
    let nearest = |(sample, own): (usize, &u32)| {
        let row = (0u32..).zip(logits.view().row(sample));
        row.filter(|(row, _)| row != own && !sets.forgotten.contains(row))
            .max_by(|a, b| a.1.total_cmp(b.1))
            .map_or(*own, |(row, _)| row)
    };
    Ok(sets.forget_rows.iter().enumerate().map(nearest).collect())
}
