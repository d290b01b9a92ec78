//! Sums of squares that several layer types share.

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
    let mut out = vec![0.0f32; channels];
    let mut sum = vec![0.0f32; channels];
    for group in delta.chunks_exact(rows * channels) {
        sum.fill(0.0);
        for row in group.chunks_exact(channels) {
            sum.iter_mut().zip(row).for_each(|(s, d)| *s += d);
        }
        out.iter_mut().zip(&sum).for_each(|(o, s)| *o += s * s);
    }
    out
}

/// What the scale and the shift of a normalised layer have: `normalised` writes one row of the
/// normalised input.
pub(super) fn affine_squares(
    input: &[f32],
    delta: &[f32],
    channels: usize,
    groups: usize,
    normalised: &dyn Fn(&[f32], &mut [f32]),
) -> Result<Squares, FisherError> {
    let rows = rows_per_group("the input", input, channels, groups)?;
    expect_len("delta", delta.len(), input.len())?;
    let mut weight = vec![0.0f32; channels];
    let (mut sum, mut hat) = (vec![0.0f32; channels], vec![0.0f32; channels]);
    let size = rows * channels;
    for (input, delta) in input.chunks_exact(size).zip(delta.chunks_exact(size)) {
        sum.fill(0.0);
        for (x, d) in input
            .chunks_exact(channels)
            .zip(delta.chunks_exact(channels))
        {
            normalised(x, &mut hat);
            for ((sum, x), d) in sum.iter_mut().zip(&hat).zip(d) {
                *sum += x * d;
            }
        }
        weight.iter_mut().zip(&sum).for_each(|(w, s)| *w += s * s);
    }
    Ok(vec![
        ("weight", weight),
        ("bias", column_squares(delta, channels, rows)),
    ])
}
