//! How well samples are named by a machine that learnt others: a kernel ridge regression in closed form.
//!
//! Of each of its own samples it says what it would have said without that one, by the hat matrix (Rifkin
//! and Lippert, "Notes on regularized least squares", 2007), so that samples that it learnt and others can be
//! compared:
//!
//! ```text
//! k(a, b) = exp(-2 |a - b|^2 / median of |a - b|^2)
//! W       = (K + 0.01 I)^-1 Y                         Y: 1 at a sample's label, -1 elsewhere
//! without = Y_i - W_i / (K + 0.01 I)^-1_ii
//! margin  = what it says of the label less the most that it says of another one
//! ```

use crate::error::{FisherError, expect_finite, expect_len};
use crate::kernel::cholesky::Cholesky;
use crate::kernel::matrix::{Matrix, MatrixRef};
use crate::kernel::product::{linear, product};

/// The ridge.
const RIDGE: f32 = 0.01;

/// Over the median of squared distances: what they are multiplied by.
const SHARPNESS: f64 = 2.0;

/// Samples whose kernel is worked out at a time.
const CHUNK: usize = 256;

/// A machine that learnt some samples.
#[derive(Debug, Clone)]
pub struct KernelMachine {
    known: Matrix,
    rows: Vec<u32>,
    /// What squared distances are multiplied by.
    scale: f64,
    /// `[samples, classes]`.
    weights: Matrix,
    system: Cholesky,
}

impl KernelMachine {
    /// Learns samples, `known`: `[samples, values]`, with the class of each, of `classes`.
    ///
    /// # Errors
    /// [`FisherError`] without samples, when lengths differ, a value is not finite, or a class is none.
    pub fn new(known: Matrix, rows: Vec<u32>, classes: usize) -> Result<Self, FisherError> {
        let count = known.rows();
        expect_len("the list of labels", rows.len(), count)?;
        expect_finite("the samples to learn", known.values())?;
        if count == 0 {
            return Err(FisherError::NoSamples("to learn".into()));
        }
        let mut targets = Matrix::new(count, classes, vec![-1.0; count * classes])?;
        for (sample, row) in rows.iter().enumerate() {
            if *row as usize >= classes {
                return Err(FisherError::Label {
                    sample,
                    label: *row,
                    classes,
                });
            }
            targets.values_mut()[sample * classes + *row as usize] = 1.0;
        }
        let mut kernel = distances(known.view(), known.view())?;
        let scale = SHARPNESS / f64::from(median(kernel.values())).max(f64::MIN_POSITIVE);
        likeness(&mut kernel, scale);
        for at in 0..count {
            kernel.values_mut()[at * count + at] = 1.0 + RIDGE;
        }
        let system = Cholesky::new(kernel)?;
        Ok(Self {
            weights: system.solve(targets.view())?,
            known,
            rows,
            scale,
            system,
        })
    }

    /// The margins of other samples, `[samples, values]`, of these classes.
    ///
    /// # Errors
    /// [`FisherError`] when lengths differ or a value is not finite.
    pub fn margins(&self, samples: MatrixRef<'_>, rows: &[u32]) -> Result<Vec<f64>, FisherError> {
        expect_len("the list of labels", rows.len(), samples.rows())?;
        expect_finite("the samples to name", samples.values())?;
        let (width, mut found) = (samples.cols(), Vec::with_capacity(rows.len()));
        let chunks = samples.values().chunks(CHUNK * width.max(1));
        for (chunk, rows) in chunks.zip(rows.chunks(CHUNK)) {
            let chunk = MatrixRef::new(rows.len(), width, chunk)?;
            let mut kernel = distances(chunk, self.known.view())?;
            likeness(&mut kernel, self.scale);
            let said = product(kernel.view(), self.weights.view())?;
            let each = rows.iter().enumerate();
            found.extend(each.map(|(at, row)| margin(said.view().row(at), *row)));
        }
        Ok(found)
    }

    /// The margins of the first `count` samples that it learnt, each as if it had not learnt that one.
    ///
    /// # Errors
    /// [`FisherError`] when it learnt fewer.
    pub fn without_each(&self, count: usize) -> Result<Vec<f64>, FisherError> {
        let (size, classes) = (self.rows.len(), self.weights.cols());
        if count > size {
            expect_len("the samples learnt", size, count)?;
        }
        let mut units = Matrix::zeros(size, count);
        for at in 0..count {
            units.values_mut()[at * count + at] = 1.0;
        }
        // The inverse's diagonal: the squared lengths of the columns of L^-1.
        let columns = self.system.solve_lower(units.view())?;
        let mut diagonal = vec![0.0f64; count];
        for row in columns.values().chunks_exact(count.max(1)) {
            let pairs = diagonal.iter_mut().zip(row);
            pairs.for_each(|(sum, value)| *sum += f64::from(*value).powi(2));
        }
        let mut said = vec![0.0f32; classes];
        let of = |(at, inverse): (usize, &f64)| {
            let own = self.rows[at];
            let weights = self.weights.view().row(at).iter().enumerate();
            for (said, (class, weight)) in said.iter_mut().zip(weights) {
                let target = if class == own as usize { 1.0 } else { -1.0 };
                *said = target - (f64::from(*weight) / inverse) as f32;
            }
            margin(&said, own)
        };
        Ok(diagonal.iter().enumerate().map(of).collect())
    }
}

fn margin(said: &[f32], own: u32) -> f64 {
    let others = said.iter().enumerate();
    let others = others.filter(|(class, _)| *class != own as usize);
    let most = others.map(|(_, value)| *value).reduce(f32::max);
    f64::from(said[own as usize] - most.unwrap_or(0.0))
}

/// Squared distances, `[a, b]`.
fn distances(a: MatrixRef<'_>, b: MatrixRef<'_>) -> Result<Matrix, FisherError> {
    let squares = |of: MatrixRef<'_>| -> Vec<f32> {
        let rows = (0..of.rows()).map(|at| of.row(at));
        rows.map(|row| row.iter().map(|v| v * v).sum()).collect()
    };
    let (left, right) = (squares(a), squares(b));
    let mut found = linear(a, b, &vec![0.0; b.rows()])?;
    let rows = found.values_mut().chunks_exact_mut(right.len().max(1));
    for (row, own) in rows.zip(&left) {
        for (value, other) in row.iter_mut().zip(&right) {
            *value = (own + other - 2.0 * *value).max(0.0);
        }
    }
    Ok(found)
}

fn likeness(distances: &mut Matrix, scale: f64) {
    let values = distances.values_mut().iter_mut();
    values.for_each(|value| *value = (-scale * f64::from(*value)).exp() as f32);
}

/// The upper median.
fn median(values: &[f32]) -> f32 {
    let mut values = values.to_vec();
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Two groups on a line, one sample of the second label among the first.
    fn samples() -> (Matrix, Vec<u32>) {
        let values = vec![0.0, 0.5, 1.0, 1.5, 5.0, 5.5, 6.0, 6.5, 0.75];
        (
            Matrix::new(9, 1, values).unwrap(),
            vec![0, 0, 0, 0, 1, 1, 1, 1, 1],
        )
    }

    fn close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 2e-3, "{found} {expected}");
        }
    }

    /// Each of them left out for good, with the scale that all have.
    #[test]
    fn without_each_is_what_a_machine_without_it_says() {
        let (all, rows) = samples();
        let machine = KernelMachine::new(all.clone(), rows.clone(), 2).unwrap();
        let found = machine.without_each(9).unwrap();
        for (left, found) in found.iter().enumerate() {
            let others: Vec<usize> = (0..9).filter(|at| *at != left).collect();
            let kept = all.select_rows(&others);
            let mut kernel = distances(kept.view(), kept.view()).unwrap();
            likeness(&mut kernel, machine.scale);
            for at in 0..8 {
                kernel.values_mut()[at * 8 + at] += RIDGE;
            }
            let target = |at: &usize| {
                if rows[*at] == 0 {
                    [1.0, -1.0]
                } else {
                    [-1.0, 1.0]
                }
            };
            let targets: Vec<f32> = others.iter().flat_map(target).collect();
            let targets = Matrix::new(8, 2, targets).unwrap();
            let weights = Cholesky::new(kernel)
                .unwrap()
                .solve(targets.view())
                .unwrap();
            let one = all.select_rows(&[left]);
            let mut kernel = distances(one.view(), kept.view()).unwrap();
            likeness(&mut kernel, machine.scale);
            let said = product(kernel.view(), weights.view()).unwrap();
            close(&[*found], &[margin(said.values(), rows[left])]);
        }
        // The one among the others is named wrong by those.
        assert!(
            found[8] < -1.5 && found[4..8].iter().all(|margin| *margin > 1.5),
            "{found:?}"
        );
        close(&machine.without_each(2).unwrap(), &found[..2]);
        assert!(machine.without_each(10).is_err());
    }

    /// Against SciPy: `solve(K + 0.01 I, Y)` with the kernel written out.
    #[test]
    fn margins_are_scipys() {
        let (all, rows) = samples();
        let machine = KernelMachine::new(all, rows, 2).unwrap();
        let asked = Matrix::new(3, 1, vec![0.25, 3.0, 6.25]).unwrap();
        let found = machine.margins(asked.view(), &[0, 0, 1]).unwrap();
        close(&found, &[1.541_484_36, -0.531_434_49, 2.024_026_41]);
        assert!(machine.margins(asked.view(), &[0]).is_err());
        let broken = Matrix::new(1, 1, vec![f32::NAN]).unwrap();
        assert!(machine.margins(broken.view(), &[0]).is_err());
    }

    #[test]
    fn what_cannot_be_learnt_is_refused_and_equal_samples_can() {
        assert!(KernelMachine::new(Matrix::zeros(0, 2), vec![], 2).is_err());
        assert!(KernelMachine::new(Matrix::zeros(2, 2), vec![0], 2).is_err());
        assert!(KernelMachine::new(Matrix::zeros(1, 2), vec![2], 2).is_err());
        let same = KernelMachine::new(Matrix::zeros(4, 2), vec![0, 0, 0, 1], 2).unwrap();
        let said = same.margins(Matrix::zeros(1, 2).view(), &[0]).unwrap();
        assert!(said[0] > 0.5, "{said:?}");
    }
}
