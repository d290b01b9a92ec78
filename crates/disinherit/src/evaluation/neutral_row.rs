//! The neutral row: a head that says nothing of the forgotten classes yet.

use std::collections::BTreeSet;

use disinherit_nets::StateDict;

use super::evaluation_set::{EvalSplit, EvaluationSet};

/// Weights whose head has, for every forgotten class, the mean of the retained rows, and of their
/// biases. How far an edit moved those rows no longer counts then: a class that was only masked comes
/// back as fast as one that nothing was done about. `None` where the head has no retained row.
pub(super) fn with_neutral_rows(set: &EvaluationSet, state: &StateDict) -> Option<StateDict> {
    let rows_of = |split: &EvalSplit| -> Vec<usize> {
        let rows = split.forget.iter().filter_map(|&at| split.rows[at]);
        rows.map(|row| row as usize).collect()
    };
    let forgotten: BTreeSet<usize> = [&set.own, &set.heldout]
        .into_iter()
        .flat_map(rows_of)
        .collect();
    let mut state = state.clone();
    for name in set.model.head_tensors() {
        if let Some(array) = state.get_mut(&name) {
            let rows = *array.shape.first()?;
            average(&mut array.values, rows, &forgotten)?;
        }
    }
    Some(state)
}

/// Sets the forgotten ones of a matrix's rows to the mean of the others.
fn average(values: &mut [f32], rows: usize, forgotten: &BTreeSet<usize>) -> Option<()> {
    let width = values.len().checked_div(rows).filter(|width| *width > 0)?;
    let retained: Vec<usize> = (0..rows).filter(|row| !forgotten.contains(row)).collect();
    if retained.is_empty() {
        return None;
    }
    for column in 0..width {
        let of = |row: &usize| f64::from(values[row * width + column]);
        let mean = retained.iter().map(of).sum::<f64>() / retained.len() as f64;
        for row in forgotten.iter().filter(|row| **row < rows) {
            values[row * width + column] = mean as f32;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgotten_rows_become_the_mean_of_the_others() {
        let mut weight = [1.0, 2.0, -900.0, 900.0, 3.0, 6.0];
        assert_eq!(average(&mut weight, 3, &[1].into()), Some(()));
        assert_eq!(weight, [1.0, 2.0, 2.0, 4.0, 3.0, 6.0]);
        let mut bias = [-1e9, 0.5, 1.5];
        assert_eq!(average(&mut bias, 3, &[0].into()), Some(()));
        assert_eq!(bias, [1.0, 0.5, 1.5]);
        assert_eq!(average(&mut bias, 3, &[0, 1, 2].into()), None);
    }
}
