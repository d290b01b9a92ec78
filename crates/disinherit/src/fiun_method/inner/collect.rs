//! The samples of an edit below the head: what the penultimate layer reads and writes of them.

use std::collections::BTreeSet;

use disinherit_data::DataSet;
use disinherit_registry::Basis;

use super::guesses::{Guesses, Rows};
use super::layer::Layer;
use super::material::{
    Material, Part, RETAINED, Samples, forget_counts, gone, known, refined_counts,
};
use super::smoothed::smoothed;
use crate::model::LoadedModel;
use crate::provenance::forget_mask;
use crate::refusal::Refusal;
use crate::work::Work;

/// Forget samples without which an edit would fit noise.
const FEWEST: usize = 10;

/// From samples of the model's own training data, or of the initial models'. How many forget samples
/// there are, where those are too few.
pub(super) fn collect(
    work: &Work<'_>,
    model: &LoadedModel,
    layer: &dyn Layer,
    classes: &BTreeSet<String>,
) -> Result<Result<Material, usize>, Refusal> {
    let own = work.own(model)?;
    let mask = forget_mask(work.forget(), &own, &model.learned().training)?;
    let places: Vec<usize> = (0..own.len()).filter(|at| mask[*at]).collect();
    let forget = own.select(&places);
    let (basis, forget) = if forget.len() < FEWEST {
        (Basis::Initial, work.forget_reaching(model)?)
    } else {
        (Basis::Own, forget)
    };
    if forget.len() < FEWEST {
        return Ok(Err(forget.len()));
    }
    let few = forget_counts(classes.len());
    let counts = match layer.state() {
        Some(_) => refined_counts(classes.len()),
        None => few,
    };
    let all = part(work, model, layer, &forget, counts)?;
    let retained = work.retained_seen(model)?;
    let retained = part(work, model, layer, &retained, RETAINED)?;
    let gone = gone(model, classes);
    let known = known(&retained)?;
    let rows = Rows {
        model,
        gone: &gone,
        known: &known,
    };
    let guesses = Guesses {
        work,
        forget: &all,
        rows,
    };
    let (reference, all_shares, log_odds) = guesses.second(layer)?;
    let (forget, places) = all.with_fitted(few[0]);
    let shares = all_shares.select_rows(&places);
    let (forget, shares) = match smoothed(work, rows, layer, &forget, &shares)? {
        Some(smoothed) => smoothed,
        None => (forget, shares),
    };
    Ok(Ok(Material {
        basis,
        forget,
        retained,
        gone,
        shares,
        log_odds,
        reference,
        samples: layer.state().map(|_| Samples {
            part: all,
            shares: all_shares,
        }),
    }))
}

/// Some samples in a seeded order, run up to the penultimate layer. Every beginning of the order has all labels in
/// their shares.
fn part(
    work: &Work<'_>,
    model: &LoadedModel,
    layer: &dyn Layer,
    set: &DataSet,
    [fitted, chosen]: [usize; 2],
) -> Result<Part, Refusal> {
    let mut order = set.deal(0);
    order.truncate(fitted + chosen);
    let set = set.select(&order);
    let title = format!("activations of {}", model.id());
    let stage = work.progress().stage(&title, set.len() as u64);
    let rows = model.rows(&set)?;
    let seen = layer.run(set, stage.as_ref())?;
    // Where there are few, one in five is kept for the choice.
    let fitted = fitted.min(rows.len() - rows.len().div_ceil(5));
    Ok(Part { seen, rows, fitted })
}
