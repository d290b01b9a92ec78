//! Sums of squares that several layer types share.

use pulp::Arch;
use rayon::prelude::*;

use crate::error::{FisherError, expect_len};

/// Sums over groups of squared gradients, for each tensor of a layer by PyTorch's name.
pub type Squares = Vec<(&'static str, Vec<f32>)>;

/// The number of rows of `channels` values in each group.
///
/// # Errors
/// [`FisherError::Shape`] when the values do not divide evenly.
pub(super) fn rows_per_group(
    what: &'static str,
    values: &[f32],
    channels: usize,
    groups: usize,
) -> Result<usize, FisherError> {
    let rows = values.len().checked_div(channels * groups);
    match rows {
        Some(rows) if rows * channels * groups == values.len() && rows > 0 => Ok(rows),
        _ => Err(FisherError::Shape {
            what,
            found: format!("{} values", values.len()),
            expected: format!("rows of {channels}, the same number in each of {groups} groups"),
        }),
    }
}

/// Sums over groups of the squares of the column sums of each group: what a bias has.
pub(super) fn column_squares(delta: &[f32], channels: usize, rows: usize) -> Vec<f32> {
    let groups: Vec<&[f32]> = delta.chunks_exact(rows * channels).collect();
    over_groups(
        &groups,
        channels,
        #[inline(always)]
        |group, sum| {
            for row in group.chunks_exact(channels) {
                sum.iter_mut().zip(row).for_each(|(s, d)| *s += d);
            }
        },
    )
}

/// Groups that a thread takes on at a time. Always as many, so that sums do not depend on the number of threads.
const TOGETHER: usize = 8;

/// Adds up the squares of what `add` makes of each group, `[channels]`, on all threads.
fn over_groups<G: Sync>(
    groups: &[G],
    channels: usize,
    add: impl Fn(&G, &mut [f32]) + Copy + Send + Sync,
) -> Vec<f32> {
    let squares = |groups: &[G]| {
        let [mut out, mut sum] = [vec![0.0f32; channels], vec![0.0f32; channels]];
        Arch::new().dispatch(
            #[inline(always)]
            || {
                for group in groups {
                    sum.fill(0.0);
                    add(group, &mut sum);
                    out.iter_mut().zip(&sum).for_each(|(o, s)| *o += s * s);
                }
            },
        );
        out
    };
    let parts: Vec<Vec<f32>> = groups.par_chunks(TOGETHER).map(squares).collect();
    let mut all = vec![0.0f32; channels];
    for part in parts {
        all.iter_mut().zip(part).for_each(|(a, p)| *a += p);
    }
    all
}

/// What the scale and the shift of a normalised layer have: `add` adds the products of a row's normalised values with
/// their gradients to sums, `[channels]`.
pub(super) fn affine_squares(
    input: &[f32],
    delta: &[f32],
    channels: usize,
    groups: usize,
    add: impl Fn(&[f32], &[f32], &mut [f32]) + Copy + Send + Sync,
) -> Result<Squares, FisherError> {
    let rows = rows_per_group("the input", input, channels, groups)?;
    expect_len("delta", delta.len(), input.len())?;
    let size = rows * channels;
    let pairs = input.chunks_exact(size).zip(delta.chunks_exact(size));
    let pairs: Vec<(&[f32], &[f32])> = pairs.collect();
    let weight = over_groups(
        &pairs,
        channels,
        #[inline(always)]
        |(input, delta), sum| {
            let deltas = delta.chunks_exact(channels);
            for (x, d) in input.chunks_exact(channels).zip(deltas) {
                add(x, d, sum);
            }
        },
    );
    Ok(vec![
        ("weight", weight),
        ("bias", column_squares(delta, channels, rows)),
    ])
}
