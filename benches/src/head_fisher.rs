//! The head's FIM, against the bare product of already squared factors (the limit) and PyTorch.

use std::error::Error;

use fiun::{Estimator, Matrix, head_fisher, transpose_product};

use crate::line::{Line, shortest};
use crate::peer;

const SAMPLES: usize = 8192;
const INPUTS: usize = 512;
const CLASSES: usize = 100;
const ROUNDS: usize = 20;

/// Multiplications and additions of the product.
pub(crate) const OPERATIONS: f64 = 2.0 * (SAMPLES * INPUTS * CLASSES) as f64;

fn pattern(rows: usize, cols: usize) -> Result<Matrix, Box<dyn Error>> {
    let values = (0..rows * cols)
        .map(|i| ((i * 7919) % 1000) as f32 / 1000.0)
        .collect();
    Ok(Matrix::new(rows, cols, values)?)
}

/// Seconds of the FIM in total.
pub(crate) fn seconds() -> Result<f64, Box<dyn Error>> {
    let (features, residuals) = (pattern(SAMPLES, INPUTS)?, pattern(SAMPLES, CLASSES)?);
    Ok(measure([&features, &residuals], &vec![0u32; SAMPLES], 1))
}

fn measure([features, residuals]: [&Matrix; 2], labels: &[u32], classes: usize) -> f64 {
    shortest(ROUNDS, || {
        let fisher = head_fisher(
            features.view(),
            residuals.view(),
            labels,
            classes,
            Estimator::Empirical,
        );
        std::hint::black_box(fisher.is_ok());
    })
}

pub(crate) fn run() -> Result<Vec<Line>, Box<dyn Error>> {
    let (features, residuals) = (pattern(SAMPLES, INPUTS)?, pattern(SAMPLES, CLASSES)?);
    let one = vec![0u32; SAMPLES];
    let per_class: Vec<u32> = (0..SAMPLES).map(|i| (i % CLASSES) as u32).collect();
    let total = measure([&features, &residuals], &one, 1);
    let classes = measure([&features, &residuals], &per_class, CLASSES);
    let product = shortest(ROUNDS, || {
        let product = transpose_product(residuals.view(), features.view());
        std::hint::black_box(product.is_ok());
    });
    let torch = torch();
    let peer = peer::torch(torch);
    Ok(vec![
        Line::milliseconds("head-fisher total", total, Some(product), "bare product"),
        Line::milliseconds("head-fisher total", total, torch, peer),
        Line::milliseconds("head-fisher of 100 classes", classes, torch, peer),
    ])
}

/// Seconds of the same product in PyTorch on the same number of threads, where it is installed.
fn torch() -> Option<f64> {
    let arguments = [SAMPLES, INPUTS, CLASSES, ROUNDS].map(|n| n.to_string());
    peer::number("head_fisher.py", &arguments)
}
