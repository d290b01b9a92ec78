//! What a refinement minimises on a batch, and its gradients.

use std::collections::{BTreeMap, BTreeSet};

use fiun::{Matrix, MatrixRef, Separation, log_sum_exp};

use crate::cpu::maps::Maps;
use crate::error::{NetError, backend};

/// Samples of a forgotten label in a batch without which its separation is left out.
const FEWEST: usize = 8;

/// The share of a batch in the running separation.
const FOLLOW: f32 = 0.3;

/// Adds the gradient of `mean((stream - target)^2 / variance)` over some samples. `variances`: one for each channel.
pub(super) fn towards(stream: &[f32], target: &[f32], variances: &[f32], gradient: &mut [f32]) {
    let share = 2.0 / stream.len().max(1) as f32;
    let rows = gradient.chunks_exact_mut(variances.len().max(1));
    let values = stream
        .chunks_exact(variances.len().max(1))
        .zip(target.chunks_exact(variances.len().max(1)));
    for (gradient, (stream, target)) in rows.zip(values) {
        for (c, gradient) in gradient.iter_mut().enumerate() {
            *gradient += share * (stream[c] - target[c]) / variances[c];
        }
    }
}

/// The gradient at the logits of the mean `KL(before || now)` over retained labels.
pub(super) fn hold(now: MatrixRef<'_>, before: MatrixRef<'_>, gone: &BTreeSet<u32>) -> Vec<f32> {
    let kept = |row: usize| !gone.contains(&(row as u32));
    let sums = [log_sum_exp(now, &kept), log_sum_exp(before, &kept)];
    let share = 1.0 / now.rows().max(1) as f32;
    let mut all = vec![0.0; now.rows() * now.cols()];
    for (sample, gradient) in all.chunks_exact_mut(now.cols().max(1)).enumerate() {
        let [now, before] = [now.row(sample), before.row(sample)];
        for (row, gradient) in gradient
            .iter_mut()
            .enumerate()
            .filter(|(row, _)| kept(*row))
        {
            let said = |z: &[f32], sum: f32| (z[row] - sum).exp();
            *gradient = share * (said(now, sums[0][sample]) - said(before, sums[1][sample]));
        }
    }
    all
}

/// How far the features of a batch separate each forgotten label from the retained ones, followed from batch to
/// batch.
pub(super) struct Separations {
    running: BTreeMap<u32, Separation>,
    /// Of their sum in the loss.
    weight: f32,
}

impl Separations {
    pub(super) fn new(weight: f32) -> Self {
        Self {
            running: BTreeMap::new(),
            weight,
        }
    }

    /// The gradient at the features of the weight times the sum over labels. `labels`: of the forgotten samples,
    /// which come first; the others are retained.
    pub(super) fn gradient(
        &mut self,
        features: &Maps,
        labels: &[u32],
    ) -> Result<Vec<f32>, NetError> {
        let weight = self.weight;
        let width = features.channels;
        let all = MatrixRef::new(features.samples, width, &features.values).map_err(backend)?;
        let retained: Vec<usize> = (labels.len()..features.samples).collect();
        let mut gradient = vec![0.0f32; features.values.len()];
        let mut add = |places: &[usize], part: &Matrix| {
            for (at, place) in places.iter().enumerate() {
                let row = &mut gradient[place * width..(place + 1) * width];
                let pairs = row.iter_mut().zip(part.view().row(at));
                pairs.for_each(|(g, p)| *g += weight * p);
            }
        };
        let rest = select(all, &retained)?;
        for label in labels.iter().collect::<BTreeSet<_>>() {
            let own = |at: &usize| labels[*at] == *label;
            let places: Vec<usize> = (0..labels.len()).filter(own).collect();
            if places.len() < FEWEST {
                continue;
            }
            let forget = select(all, &places)?;
            let batch = Separation::fit(forget.view(), rest.view()).map_err(backend)?;
            let running = match self.running.get_mut(label) {
                Some(running) => {
                    running.follow(&batch, FOLLOW).map_err(backend)?;
                    running
                }
                None => self.running.entry(*label).or_insert(batch),
            };
            let found = running
                .criterion(forget.view(), rest.view())
                .map_err(backend)?;
            add(&places, &found.forget);
            add(&retained, &found.retained);
        }
        Ok(gradient)
    }
}

fn select(all: MatrixRef<'_>, places: &[usize]) -> Result<Matrix, NetError> {
    let values = places.iter().flat_map(|at| all.row(*at)).copied();
    Matrix::new(places.len(), all.cols(), values.collect()).map_err(backend)
}
