//! Edits that are computed from draws that are like the forget samples, in place of these. A model may know
//! its own samples by heart; an edit computed from just those takes more from them than from held-out
//! samples of the class, which is a trace (docs/deep.md).

use std::collections::BTreeMap;

use disinherit_data::{DataSet, Samples};
use fiun::{FisherError, LowRankGaussian, Matrix, MatrixRef};

use super::guesses::Rows;
use super::layer::{Layer, Seen};
use super::material::Part;
use crate::cards::activations::{FEWEST, RANK};
use crate::error::EngineError;
use crate::refusal::Refusal;
use crate::work::Work;

/// Draws of each class, at least.
const DRAWS: usize = 200;

/// The part with draws in place of the samples that the edit is computed from, and the proportions in
/// which all of them go to the head's rows, where the model's own second guesses speak for draws.
/// Nothing where the network runs elsewhere, or a class has too few samples.
pub(super) fn smoothed(
    work: &Work<'_>,
    rows: Rows<'_>,
    layer: &dyn Layer,
    forget: &Part,
    shares: &Matrix,
) -> Result<Option<(Part, Matrix)>, Refusal> {
    let [fitted, apart] = forget.places();
    let Some(entrances) = layer.entrances(&forget.seen.set.select(&fitted))? else {
        return Ok(None);
    };
    let net = || EngineError::net(rows.model.id());
    let values = entrances.values().map_err(net())?;
    let drawn = draws(values, &forget.rows[..fitted.len()]);
    let drawn = drawn.map_err(EngineError::fisher(rows.model.id(), layer.weight()))?;
    let Some((labels, values)) = drawn else {
        return Ok(None);
    };
    let drawn = entrances.others(values).map_err(net())?;
    let Some(activations) = layer.behind(&drawn)? else {
        return Ok(None);
    };
    let kept = forget.seen.activations.select(&apart);
    let none = DataSet::new("draws", Samples::External, vec![], vec![], vec![]);
    let part = Part {
        fitted: labels.len(),
        rows: labels
            .into_iter()
            .chain(apart.iter().map(|at| forget.rows[*at]))
            .collect(),
        seen: Seen {
            set: none.map_err(|error| EngineError::Internal(error.to_string()))?,
            activations: activations.followed_by(kept),
        },
    };
    let mut all = rows.own_shares(work, &part, layer)?;
    let width = all.cols();
    for (at, place) in apart.iter().enumerate() {
        let to = (part.fitted + at) * width;
        all.values_mut()[to..to + width].copy_from_slice(shares.view().row(*place));
    }
    Ok(Some((part, all)))
}

/// Draws like the samples of each label, one label after the other, with their labels; nothing where a
/// label has too few samples.
///
/// # Shapes
/// `values`: `[samples, values]`; `labels`: `[samples]`.
fn draws(values: MatrixRef<'_>, labels: &[u32]) -> Result<Option<(Vec<u32>, Matrix)>, FisherError> {
    let mut places: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (at, label) in labels.iter().enumerate() {
        places.entry(*label).or_default().push(at);
    }
    if places.values().any(|places| places.len() < FEWEST) {
        return Ok(None);
    }
    let (mut rows, mut all) = (Vec::new(), Vec::new());
    for (label, places) in &places {
        let own = places.iter().flat_map(|at| values.row(*at)).copied();
        let own = Matrix::new(places.len(), values.cols(), own.collect())?;
        let count = places.len().max(DRAWS);
        let gaussian = LowRankGaussian::fit(own.view(), RANK, 0)?;
        all.extend(gaussian.draw(count, u64::from(*label))?.into_values());
        rows.extend(vec![*label; count]);
    }
    let drawn = Matrix::new(rows.len(), values.cols(), all)?;
    Ok(Some((rows, drawn)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn draws_are_like_the_samples_of_their_label() {
        // Label 3 lies around 5, label 1 around -5, the second value is the first one's opposite.
        let labels: Vec<u32> = (0..40).map(|at| if at % 2 == 0 { 3 } else { 1 }).collect();
        let values: Vec<f32> = (0..40i16)
            .flat_map(|at| {
                let value = f32::from(at % 7) / 7.0 + if at % 2 == 0 { 5.0 } else { -5.0 };
                [value, -value]
            })
            .collect();
        let samples = Matrix::new(40, 2, values).unwrap();
        let (rows, drawn) = draws(samples.view(), &labels).unwrap().unwrap();
        assert_eq!(rows, [vec![1; DRAWS], vec![3; DRAWS]].concat());
        for (row, values) in rows.iter().zip(drawn.values().chunks_exact(2)) {
            let around = if *row == 3 { 5.4 } else { -4.6 };
            assert!((values[0] - around).abs() < 2.0, "{values:?}");
            assert!((values[0] + values[1]).abs() < 0.1, "{values:?}");
        }
        // Nothing is said of a label with nine samples.
        let few: Vec<u32> = (0..40).map(|at| u32::from(at < 9)).collect();
        assert!(draws(samples.view(), &few).unwrap().is_none());
    }
}
