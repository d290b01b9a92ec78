//! Makes a small head by hand, computes its Fisher information, chooses alpha, dampens, and shows the
//! accuracies before and after. Nothing is trained.
#![allow(clippy::print_stdout)]

use std::error::Error;

use fiun::{
    AlphaChoice, Dampening, Estimator, HeadProblem, LAMBDAS, Matrix, SuppressibleRows, Target,
    dampen, head_fisher, linear, residuals, score_trial, search_alpha,
};

/// The class to forget.
const CLASS: u32 = 1;

/// 300 samples of three classes on the axes; the one to be forgotten lies near the third too.
fn samples() -> Result<(Matrix, Vec<u32>), Box<dyn Error>> {
    let (mut values, mut labels) = (Vec::new(), Vec::new());
    for n in 0..300u32 {
        let label = n % 3;
        for axis in 0..3 {
            let noise = ((n * 37 + axis * 11) % 17) as f32 / 17.0;
            let base = match (label, axis) {
                (l, a) if l == a => 2.0,
                (CLASS, 2) => 1.5,
                _ => 0.0,
            };
            values.push(base + 0.4 * noise);
        }
        labels.push(label);
    }
    Ok((Matrix::new(300, 3, values)?, labels))
}

/// The accuracies on forget and retained samples, before and after the edit.
pub struct Accuracies {
    /// Forget and retained samples before.
    pub before: (f64, f64),
    /// Forget and retained samples after.
    pub after: (f64, f64),
}

/// Forgets the class.
pub fn forget() -> Result<(AlphaChoice, Accuracies), Box<dyn Error>> {
    let (features, labels) = samples()?;
    let weight = Matrix::new(3, 3, vec![2., -1., -1., -1., 2., -1., -1., -1., 2.])?;
    let bias = [0.1, 0.1, 0.1];
    let estimator = Estimator::Empirical;
    let logits = linear(features.view(), weight.view(), &bias)?;
    let residuals = residuals(logits.view(), &labels, estimator)?;
    let fisher = head_fisher(features.view(), residuals.view(), &labels, 3, estimator)?;
    let forget = fisher.of_classes(&[CLASS as usize])?;
    let is_forget: Vec<bool> = labels.iter().map(|label| *label == CLASS).collect();
    let problem = HeadProblem {
        weight: weight.view(),
        bias: &bias,
        forget: &forget,
        own: &fisher.total,
        features: features.view(),
        labels: &labels,
        is_forget: &is_forget,
        lambdas: &LAMBDAS,
        suppressible: &SuppressibleRows {
            rows: vec![CLASS],
            ..SuppressibleRows::default()
        },
    };
    let choice = search_alpha(problem, Target::default())?;

    let dampening = Dampening::new(choice.alpha, choice.lambda)?;
    let (mut edited, mut edited_bias) = (Matrix::zeros(3, 3), [0.0; 3]);
    let own = &fisher.total;
    dampen(
        weight.values(),
        &forget.weight,
        &own.weight,
        dampening,
        edited.values_mut(),
    )?;
    dampen(&bias, &forget.bias, &own.bias, dampening, &mut edited_bias)?;
    if let Some(suppression) = &choice.suppression {
        suppression.apply(&mut edited_bias, 3);
    }
    let logits = linear(features.view(), edited.view(), &edited_bias)?;
    let after = score_trial(logits.view(), &labels, &is_forget)?;
    let accuracies = Accuracies {
        before: choice.before,
        after: (after.forget, after.retain),
    };
    Ok((choice, accuracies))
}

/// Forgets the class and prints what came of it.
pub fn main() -> Result<(), Box<dyn Error>> {
    let (choice, accuracies) = forget()?;
    println!("alpha {:.3}, lambda {}", choice.alpha, choice.lambda);
    for (when, (forget, retain)) in [("before", accuracies.before), ("after", accuracies.after)] {
        println!("{when}: forget samples {forget:.3}, retained samples {retain:.3}");
    }
    Ok(())
}
