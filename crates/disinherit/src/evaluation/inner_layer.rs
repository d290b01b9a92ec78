//! What an inner layer makes of an evaluation set: the input of the penultimate layer, below which no
//! edit goes.

use disinherit_data::DataSet;
use disinherit_nets::{Penultimate, StateDict};
use fiun::Matrix;

use super::evaluation_set::EvaluationSet;
use super::probe_samples::ProbeSamples;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::runner::{Runner, runner_of};

/// Samples of a network elsewhere whose activations are held at a time.
const CHUNK: usize = 256;

/// The activations of one inner layer: of the samples that probes look at, zeros of the others.
pub(super) struct InnerLayer {
    /// The weight that reads them.
    pub(super) layer: String,
    /// Of the model's own samples, `[samples, channels]`: the mean over the map for a convolution.
    pub(super) own: Matrix,
    /// Of held-out samples.
    pub(super) heldout: Matrix,
}

/// Runs the samples of an evaluation set that probes look at up to the penultimate layer; nothing where only the head is known, or the network
/// has no such layer.
pub(super) fn inner_layer(
    engine: &Engine<'_>,
    set: &EvaluationSet,
    state: &StateDict,
) -> Result<Option<InnerLayer>, EngineError> {
    let model = &set.model;
    if let Some(runner) = runner_of(engine.runner(), &set.own.set)? {
        return elsewhere(runner, engine, set, state);
    }
    if model.is_head_only() {
        return Ok(None);
    }
    let net = || EngineError::net(model.id());
    let cut = Penultimate::new(&model.architecture, state).map_err(net())?;
    let Some(cut) = cut else {
        return Ok(None);
    };
    let means = |set: &DataSet, places: &[usize]| -> Result<Matrix, EngineError> {
        let activations = cut.run(&set.select(places), &model.preprocessing, &mut |_| {});
        Ok(scattered(
            &activations.map_err(net())?.mean_inputs(),
            places,
            set.len(),
        ))
    };
    let [own, heldout] = ProbeSamples::all(set);
    Ok(Some(InnerLayer {
        own: means(&set.own.set, &own)?,
        heldout: means(&set.heldout.set, &heldout)?,
        layer: cut.weight().to_owned(),
    }))
}

/// The same of a network that runs elsewhere; nothing where it does not say what its layers read.
fn elsewhere(
    runner: &dyn Runner,
    engine: &Engine<'_>,
    set: &EvaluationSet,
    state: &StateDict,
) -> Result<Option<InnerLayer>, EngineError> {
    let model = &set.model;
    let mut layer: Option<String> = None;
    let mut means = |set: &DataSet, wanted: &[usize]| -> Result<Option<Matrix>, EngineError> {
        let title = format!("activations of {}", model.id());
        let stage = engine.progress().stage(&title, wanted.len() as u64);
        let mut whole: Option<Matrix> = None;
        for places in wanted.chunks(CHUNK) {
            let found = runner.penultimate(model, state, &set.select(places), stage.as_ref())?;
            let Ok(found) = found else {
                return Ok(None);
            };
            let name = found.tensors.weight;
            if *layer.get_or_insert_with(|| name.clone()) != name {
                return Ok(None);
            }
            whole = match below(whole, found.activations.mean_inputs()) {
                None => return Ok(None),
                whole => whole,
            };
        }
        let whole = whole.unwrap_or_else(|| Matrix::zeros(0, 0));
        Ok(Some(scattered(&whole, wanted, set.len())))
    };
    let [own, heldout] = ProbeSamples::all(set);
    let own = means(&set.own.set, &own)?;
    let heldout = means(&set.heldout.set, &heldout)?;
    let known = own.zip(heldout).zip(layer);
    Ok(known.map(|((own, heldout), layer)| InnerLayer {
        layer,
        own,
        heldout,
    }))
}

/// Rows at their places among so many, zeros elsewhere.
fn scattered(rows: &Matrix, places: &[usize], count: usize) -> Matrix {
    let mut whole = Matrix::zeros(count, rows.cols());
    for (row, place) in places.iter().enumerate().take(rows.rows()) {
        let width = rows.cols();
        whole.values_mut()[place * width..(place + 1) * width]
            .copy_from_slice(rows.view().row(row));
    }
    whole
}

/// The rows of a second matrix below those of a first; nothing where they are of other widths.
fn below(first: Option<Matrix>, second: Matrix) -> Option<Matrix> {
    let Some(first) = first else {
        return Some(second);
    };
    let (rows, cols) = (first.rows() + second.rows(), first.cols());
    let mut values = first.into_values();
    let same = second.cols() == cols;
    values.extend(second.into_values());
    same.then(|| Matrix::new(rows, cols, values).ok()).flatten()
}
