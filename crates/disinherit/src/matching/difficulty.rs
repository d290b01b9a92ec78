//! How hard each forget sample would be for a model that never saw it.
//!
//! Two signs: how sure the model is now, and how sure it is of the same image shifted a little, which it
//! has not seen just so. Where samples have no such views, the second sign is how many of the nearest
//! retained samples have the same label.

use std::collections::BTreeMap;

use disinherit_nets::{Capture, StateDict};
use fiun::{Matrix, Signal, difficulty_levels, linear, mean_log_odds};

use super::material::{Material, Part};
use super::observer::Observer;
use super::options::MatchingOptions;
use crate::error::EngineError;

/// Views of a sample beside itself.
const VIEWS: u64 = 8;

/// Neighbours that are asked.
const NEIGHBOURS: usize = 10;

/// Samples whose neighbours are looked for at a time.
const CHUNK: usize = 256;

/// For every forget sample the share of unseen samples that are harder.
pub(super) fn levels(
    observer: &Observer<'_>,
    state: &StateDict,
    material: &Material,
    options: &MatchingOptions,
) -> Result<Vec<f64>, EngineError> {
    let parts = [&material.forget, &material.trained];
    let mut seen = Vec::with_capacity(parts.len());
    for part in parts {
        seen.push(observer.capture(state, &part.set)?);
    }
    let mut now = Vec::with_capacity(parts.len());
    let mut around = Vec::with_capacity(parts.len());
    for (part, captured) in parts.into_iter().zip(&seen) {
        now.push(observer.of_logits(&captured.logits, &part.rows)?);
        around.push(match options.views_of(&part.set) {
            Some(_) => viewed(observer, state, part, captured, options)?,
            None => agreeing(observer, state, part, captured, &material.retained)?,
        });
    }
    let signal = |mut lists: Vec<Vec<f64>>| {
        let trained = lists.pop().unwrap_or_default();
        let forget = lists.pop().unwrap_or_default();
        Signal { forget, trained }
    };
    let model = observer.model;
    difficulty_levels(&[signal(now), signal(around)])
        .map_err(EngineError::fisher(model.id(), &model.manifest.head))
}

/// The log-odds of the mean probability over a sample and its views.
fn viewed(
    observer: &Observer<'_>,
    state: &StateDict,
    part: &Part,
    plain: &Capture,
    options: &MatchingOptions,
) -> Result<Vec<f64>, EngineError> {
    let augment = options.views_of(&part.set);
    let mut readings = vec![plain.logits.clone()];
    for number in 0..VIEWS {
        let view = augment.and_then(|augment| augment.view(&part.set, options.seed + number));
        if let Some(view) = view {
            readings.push(observer.capture(state, &view)?.logits);
        }
    }
    let readings: Vec<_> = readings.iter().map(Matrix::view).collect();
    mean_log_odds(&readings, &part.rows).ok_or_else(|| observer.one_label())
}

/// The share of a sample's nearest retained neighbours that have its label.
fn agreeing(
    observer: &Observer<'_>,
    state: &StateDict,
    part: &Part,
    captured: &Capture,
    retained: &Part,
) -> Result<Vec<f64>, EngineError> {
    let known = observer.capture(state, &retained.set)?;
    let near = nearest(
        observer,
        part,
        &captured.features,
        retained,
        &known.features,
    )?;
    let share = |(at, near): (usize, &Vec<usize>)| {
        let same = near.iter().filter(|n| retained.rows[**n] == part.rows[at]);
        same.count() as f64 / near.len().max(1) as f64
    };
    Ok(near.iter().enumerate().map(share).collect())
}

/// The places of the retained samples that are nearest to every sample by the angle between features;
/// a sample is no neighbour of its own.
pub(super) fn nearest(
    observer: &Observer<'_>,
    part: &Part,
    features: &Matrix,
    retained: &Part,
    known: &Matrix,
) -> Result<Vec<Vec<usize>>, EngineError> {
    let model = observer.model;
    let known = directions(known);
    let own: BTreeMap<&String, usize> = retained.set.ids().iter().zip(0..).collect();
    let zeros = vec![0.0; known.rows()];
    let places: Vec<usize> = (0..part.rows.len()).collect();
    let mut found = Vec::with_capacity(places.len());
    for chunk in places.chunks(CHUNK) {
        let likeness = linear(features.select_rows(chunk).view(), known.view(), &zeros)
            .map_err(EngineError::fisher(model.id(), &model.manifest.head))?;
        for (row, place) in chunk.iter().enumerate() {
            let itself = own.get(&part.set.ids()[*place]);
            let mut order: Vec<usize> = (0..known.rows()).filter(|at| Some(at) != itself).collect();
            let row = likeness.view().row(row);
            order.sort_by(|a, b| row[*b].total_cmp(&row[*a]).then(a.cmp(b)));
            order.truncate(NEIGHBOURS);
            found.push(order);
        }
    }
    Ok(found)
}

/// Every row brought to length 1.
fn directions(features: &Matrix) -> Matrix {
    let mut out = features.clone();
    let cols = out.cols().max(1);
    for row in out.values_mut().chunks_exact_mut(cols) {
        let length = row.iter().map(|v| v * v).sum::<f32>().sqrt();
        row.iter_mut()
            .for_each(|v| *v /= length.max(f32::MIN_POSITIVE));
    }
    out
}
