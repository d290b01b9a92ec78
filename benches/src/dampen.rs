//! Dampening, against a plain streaming copy-and-scale over the same bytes.

use std::error::Error;

use fiun::{Dampening, Scalar, dampen};
use half::{bf16, f16};

use crate::{Line, shortest};

const PARAMETERS: usize = 20_000_000;
const ROUNDS: usize = 5;

pub(crate) fn run() -> Result<Vec<Line>, Box<dyn Error>> {
    let forget: Vec<f32> = (0..PARAMETERS).map(|i| ((i * 31) % 97) as f32).collect();
    let own: Vec<f32> = (0..PARAMETERS)
        .map(|i| ((i * 17) % 89) as f32 + 1.0)
        .collect();
    let dampening = Dampening::new(2.0, 1.0)?;
    Ok(vec![
        line::<f32>("dampen 20 M f32", &forget, &own, dampening),
        line::<f16>("dampen 20 M f16", &forget, &own, dampening),
        line::<bf16>("dampen 20 M bf16", &forget, &own, dampening),
    ])
}

fn line<T: Scalar>(name: &str, forget: &[f32], own: &[f32], dampening: Dampening) -> Line {
    let mut theta: Vec<T> = (0..PARAMETERS)
        .map(|i| T::from_f32((i % 13) as f32))
        .collect();
    let ours = shortest(ROUNDS, || {
        std::hint::black_box(dampen(&mut theta, forget, own, dampening).is_ok());
    });
    let limit = shortest(ROUNDS, || {
        for ((value, f), o) in theta.iter_mut().zip(forget).zip(own) {
            *value = T::from_f32(value.to_f32() * (f + o));
        }
        std::hint::black_box(&theta);
    });
    Line::milliseconds(name, ours, Some(limit), "copy-and-scale")
}
