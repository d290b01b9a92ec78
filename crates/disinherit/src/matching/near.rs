//! The retained samples that are nearest to others.

use std::collections::BTreeMap;

use fiun::{Matrix, linear};

use super::material::Part;
use super::observer::Observer;
use crate::error::EngineError;

/// Neighbours of a sample.
const NEIGHBOURS: usize = 10;

/// Samples whose neighbours are looked for at a time.
const CHUNK: usize = 256;

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
