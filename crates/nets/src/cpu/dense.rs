//! Linear maps of rows, as layers over sequences are made of them.

use fiun::{Factor, FisherError, Product, Threads};

use super::rows::change_alone;

/// `x Wᵀ + b` for every row of `x`: `[rows, outputs]`.
///
/// # Shapes
/// `rows`: `[rows, inputs]`; `weight`: `[outputs, inputs]`; `bias`: `[outputs]`.
///
/// # Errors
/// [`FisherError`] when the shapes do not fit.
pub(crate) fn apply(
    rows: &[f32],
    weight: &[f32],
    bias: &[f32],
    threads: Threads,
) -> Result<Vec<f32>, FisherError> {
    let outputs = bias.len();
    let inputs = weight.len() / outputs.max(1);
    let count = rows.len() / inputs.max(1);
    let mut out = vec![0.0; count * outputs];
    change_alone(
        &mut out,
        outputs,
        #[inline(always)]
        |rows| {
            let rows = rows.chunks_exact_mut(outputs.max(1));
            rows.for_each(|row| row.copy_from_slice(bias));
        },
    );
    Product {
        shape: [count, inputs, outputs],
        left: Factor::rows(rows, inputs),
        right: Factor::rows(weight, inputs).transposed(),
        threads,
    }
    .add_to(&mut out, outputs)?;
    Ok(out)
}

/// The gradient at the rows from that at what [`apply`] made of them: `[rows, inputs]`.
///
/// # Shapes
/// `delta`: `[rows, outputs]`; `weight`: `[outputs, inputs]`.
///
/// # Errors
/// [`FisherError`] when the shapes do not fit.
pub(crate) fn back(delta: &[f32], outputs: usize, weight: &[f32]) -> Result<Vec<f32>, FisherError> {
    let inputs = weight.len() / outputs.max(1);
    let count = delta.len() / outputs.max(1);
    let mut out = vec![0.0; count * inputs];
    Product {
        shape: [count, outputs, inputs],
        left: Factor::rows(delta, outputs),
        right: Factor::rows(weight, inputs),
        threads: Threads::All,
    }
    .store(&mut out, inputs)?;
    Ok(out)
}

/// The gradient at the weight, `[outputs, inputs]`, summed over the rows.
///
/// # Shapes
/// `delta`: `[rows, outputs]`; `rows`: `[rows, inputs]`.
///
/// # Errors
/// [`FisherError`] when the shapes do not fit.
pub(crate) fn weight_gradient(
    delta: &[f32],
    outputs: usize,
    rows: &[f32],
    inputs: usize,
) -> Result<Vec<f32>, FisherError> {
    let mut out = vec![0.0; outputs * inputs];
    Product {
        shape: [outputs, rows.len() / inputs.max(1), inputs],
        left: Factor::rows(delta, outputs).transposed(),
        right: Factor::rows(rows, inputs),
        threads: Threads::All,
    }
    .store(&mut out, inputs)?;
    Ok(out)
}
