//! Dampening, against a plain streaming copy-and-scale over the same bytes.

use std::error::Error;

use fiun::{BLOCK, Dampening, FisherTensor, Scalar, Scratch, dampen};
use half::{bf16, f16};
use pulp::Arch;
use rayon::prelude::*;

use crate::line::{Line, in_turn};

const ROWS: usize = 25_000;
const COLS: usize = 4_000;
pub(crate) const PARAMETERS: usize = ROWS * COLS;
const ROUNDS: usize = 12;

/// SSD's default; selects 5 % of these.
const ALPHA: f64 = 10.0;

pub(crate) fn run() -> Result<Vec<Line>, Box<dyn Error>> {
    let [forget, own] = fims()?;
    let dampening = Dampening::new(ALPHA, 1.0)?;
    let line = |name, [ours, limit]: [f64; 2]| {
        Line::milliseconds(name, ours, Some(limit), "copy-and-scale")
    };
    Ok(vec![
        line("dampen 100 M f32", measure::<f32>(&forget, &own, dampening)),
        line("dampen 100 M f16", measure::<f16>(&forget, &own, dampening)),
        line(
            "dampen 100 M bf16",
            measure::<bf16>(&forget, &own, dampening),
        ),
    ])
}

/// Seconds in single precision.
pub(crate) fn seconds() -> Result<f64, Box<dyn Error>> {
    let [forget, own] = fims()?;
    Ok(measure::<f32>(&forget, &own, Dampening::new(ALPHA, 1.0)?)[0])
}

fn fims() -> Result<[FisherTensor; 2], Box<dyn Error>> {
    let fim = |step: usize, modulus: usize, least: usize| {
        let value = |i: usize| ((i * step) % modulus + least) as f32 / 128.0;
        let values = (0..PARAMETERS).into_par_iter().map(value).collect();
        FisherTensor::from_parts(vec![ROWS, COLS], values, vec![1.0; ROWS])
    };
    Ok([fim(31, 97, 0)?, fim(17, 89, 1)?])
}

/// Seconds of ours and of the limit.
fn measure<T: Scalar + Default>(
    forget: &FisherTensor,
    own: &FisherTensor,
    dampening: Dampening,
) -> [f64; 2] {
    let mut theta = vec![T::default(); PARAMETERS];
    let zeros = [T::default(); BLOCK];
    for block in theta.chunks_mut(BLOCK) {
        let count = block.len();
        T::edit(&zeros[..count], block, &mut Scratch::default(), |_, out| {
            for (i, value) in out.iter_mut().enumerate() {
                *value = (i % 13) as f32;
            }
        });
    }
    let mut out = vec![T::default(); PARAMETERS];
    let mut copy = vec![T::default(); PARAMETERS];
    in_turn(
        ROUNDS,
        || {
            std::hint::black_box(dampen(&theta, forget, own, dampening, &mut out).is_ok());
        },
        || {
            copy_and_scale(&theta, forget.values(), own.values(), &mut copy);
            std::hint::black_box(&copy);
        },
    )
}

/// Reads and writes what dampening reads and writes, on all threads, and does next to nothing.
fn copy_and_scale<T: Scalar>(theta: &[T], forget: &[f32], own: &[f32], out: &mut [T]) {
    let share = 1 << 16;
    out.par_chunks_mut(share)
        .zip(theta.par_chunks(share))
        .zip(forget.par_chunks(share).zip(own.par_chunks(share)))
        .for_each(|((out, theta), (forget, own))| {
            let mut scratch = Scratch::default();
            let arch = Arch::new();
            let blocks = out
                .chunks_mut(BLOCK)
                .zip(theta.chunks(BLOCK))
                .zip(forget.chunks(BLOCK).zip(own.chunks(BLOCK)));
            for ((out, theta), (forget, own)) in blocks {
                arch.dispatch(|| {
                    T::edit(theta, out, &mut scratch, |theta, out| {
                        let values = theta.iter().zip(forget).zip(own);
                        for (out, ((value, f), o)) in out.iter_mut().zip(values) {
                            *out = value * (f + o);
                        }
                    });
                });
            }
        });
}
