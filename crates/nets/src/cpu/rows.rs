//! Work on rows of values that is shared out over threads, in parts that do not depend on their number, each with
//! the widest registers that the machine has: where a function is passed by value and told to be inlined. Behind a
//! reference it is compiled on its own, for the registers that every machine has.

use pulp::Arch;
use rayon::prelude::*;

/// Values of a part, at least: below, threads cost more than they give.
const PART: usize = 1 << 15;

/// Values of a part that has whole rows.
fn part(width: usize) -> usize {
    PART.div_ceil(width.max(1)) * width.max(1)
}

/// Changes values beside others, part after part; parts have whole rows of `width` values.
pub(crate) fn change(
    values: &mut [f32],
    beside: &[f32],
    width: usize,
    change: impl Fn(&mut [f32], &[f32]) + Copy + Send + Sync,
) {
    let part = part(width);
    let wide = |(values, beside)| {
        Arch::new().dispatch(
            #[inline(always)]
            move || change(values, beside),
        );
    };
    if values.len() <= part {
        return wide((values, beside));
    }
    let parts = values.par_chunks_mut(part).zip(beside.par_chunks(part));
    parts.for_each(wide);
}

/// Changes values and as many others, part after part.
pub(crate) fn change_both(
    values: &mut [f32],
    others: &mut [f32],
    change: impl Fn(&mut [f32], &mut [f32]) + Copy + Send + Sync,
) {
    let wide = |(values, others)| {
        Arch::new().dispatch(
            #[inline(always)]
            move || change(values, others),
        );
    };
    if values.len() <= PART {
        return wide((values, others));
    }
    let parts = values.par_chunks_mut(PART).zip(others.par_chunks_mut(PART));
    parts.for_each(wide);
}

/// Changes values, part after part; parts have whole rows of `width` values.
pub(crate) fn change_alone(
    values: &mut [f32],
    width: usize,
    change: impl Fn(&mut [f32]) + Copy + Send + Sync,
) {
    let part = part(width);
    let wide = |values| {
        Arch::new().dispatch(
            #[inline(always)]
            move || change(values),
        );
    };
    if values.len() <= part {
        return wide(values);
    }
    values.par_chunks_mut(part).for_each(wide);
}

/// The sums of `term(value, value beside, centre)` over rows, column by column; each column has a centre.
pub(crate) fn column_sums(
    values: &[f32],
    beside: &[f32],
    centres: &[f32],
    term: impl Fn(f32, f32, f32) -> f32 + Copy + Send + Sync,
) -> Vec<f32> {
    let (columns, arch) = (centres.len(), Arch::new());
    if columns == 0 {
        return Vec::new();
    }
    let rows = |(values, beside): (&[f32], &[f32])| {
        let mut sums = vec![0.0f32; columns];
        arch.dispatch(
            #[inline(always)]
            || {
                let rows = values.chunks_exact(columns);
                for (row, beside) in rows.zip(beside.chunks_exact(columns)) {
                    let pairs = row.iter().zip(beside).zip(centres);
                    for (sum, ((a, b), centre)) in sums.iter_mut().zip(pairs) {
                        *sum += term(*a, *b, *centre);
                    }
                }
            },
        );
        sums
    };
    let part = part(columns);
    if values.len() <= part {
        return rows((values, beside));
    }
    let parts = values.par_chunks(part).zip(beside.par_chunks(part));
    let parts: Vec<Vec<f32>> = parts.map(rows).collect();
    let sum = |column: usize| {
        parts
            .iter()
            .map(|part| f64::from(part[column]))
            .sum::<f64>()
    };
    (0..columns).map(|column| sum(column) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_the_columns_however_many_rows_there_are() {
        for rows in [3usize, 40_000] {
            let values: Vec<f32> = (0..rows * 3).map(|at| (at % 3) as f32 + 1.0).collect();
            let sums = column_sums(&values, &values, &[0.0, 1.0, 2.0], |a, b, c| a * b * c);
            let expected = [0.0, 4.0 * rows as f32, 18.0 * rows as f32];
            assert_eq!(sums, expected);
        }
    }

    #[test]
    fn every_value_is_changed_beside_its_own() {
        let beside: Vec<f32> = (0..80_000).map(|at| at as f32).collect();
        let mut values = vec![1.0; beside.len()];
        change(&mut values, &beside, 4, |part, beside| {
            assert_eq!(part.len() % 4, 0);
            part.iter_mut().zip(beside).for_each(|(v, b)| *v += b);
        });
        assert!(values.iter().zip(&beside).all(|(v, b)| *v == b + 1.0));
    }
}
