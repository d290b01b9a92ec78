//! The maximum over square windows.

#[cfg(feature = "burn")]
use burn::tensor::module::max_pool2d;
#[cfg(feature = "burn")]
use burn::tensor::ops::MaxPoolOptions;
use disinherit_data::ImageShape;
use fiun::FisherError;
use rayon::prelude::*;

use super::operation::{Following, Op, Operation, windows};
use crate::cpu::layer::{Backward, CpuLayer, Record};
use crate::cpu::maps::Maps;
use crate::cpu::weights::Weights;
#[cfg(feature = "burn")]
use crate::device::parameters::Builder;
#[cfg(feature = "burn")]
use crate::device::pass::{DeviceLayer, Flow, Pass};
use crate::error::NetError;

/// Cells added around the map never win.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MaxPool {
    /// The side of a window, the step between windows, the cells added on each side.
    window: [usize; 3],
}

/// The maximum over windows of this side, stride and padding.
pub(crate) fn max_pool(kernel: usize, stride: usize, padding: usize) -> Op {
    Op::new(MaxPool {
        window: [kernel, stride, padding],
    })
}

impl Operation for MaxPool {
    fn output(&self, input: ImageShape) -> Option<ImageShape> {
        Some(ImageShape {
            height: windows(input.height, self.window)?,
            width: windows(input.width, self.window)?,
            ..input
        })
    }

    fn cpu(
        &self,
        _weights: &Weights<'_>,
        _following: &mut Following<'_>,
    ) -> Result<Option<Box<dyn CpuLayer>>, NetError> {
        Ok(Some(Box::new(*self)))
    }

    #[cfg(feature = "burn")]
    fn device(&self, _builder: &mut Builder<'_>) -> Result<Box<dyn DeviceLayer>, NetError> {
        Ok(Box::new(*self))
    }
}

impl CpuLayer for MaxPool {
    fn forward(&self, input: Maps, _threads: usize) -> Result<Maps, FisherError> {
        Ok(largest(&input, self.window, None))
    }

    fn record(&self, input: Maps, record: &mut Record) -> Result<Maps, FisherError> {
        let mut places = Vec::new();
        let out = largest(&input, self.window, Some(&mut places));
        record.keep_places(input.with(Vec::new()), places);
        Ok(out)
    }

    fn backward(&self, delta: Maps, pass: &mut Backward<'_>) -> Result<Option<Maps>, NetError> {
        let kept = pass.kept()?;
        Ok(Some(largest_backward(&delta, &kept.places, &kept.maps)))
    }
}

#[cfg(feature = "burn")]
impl DeviceLayer for MaxPool {
    fn run(&self, _pass: &mut Pass<'_>, input: Flow) -> Flow {
        let [kernel, stride, padding] = self.window;
        Flow::Maps(max_pool2d(
            input.maps(),
            MaxPoolOptions::new([kernel, kernel])
                .with_stride([stride, stride])
                .with_padding([padding, padding]),
        ))
    }
}

/// The largest value of each window, and where it was: indices into the sample.
fn largest(
    input: &Maps,
    [kernel, stride, padding]: [usize; 3],
    places: Option<&mut Vec<u32>>,
) -> Maps {
    let side = |side: usize| (side + 2 * padding).saturating_sub(kernel) / stride + 1;
    let [height, width] = input.size;
    let size = [side(height), side(width)];
    let channels = input.channels;
    let mut out = Maps::zeros(input.samples, size, channels);
    out.values.fill(f32::NEG_INFINITY);
    let (from, to) = (input.per_sample().max(1), out.per_sample().max(1));
    let length = out.values.len();
    let samples = input.values.par_chunks_exact(from);
    let samples = samples.zip(out.values.par_chunks_exact_mut(to));
    let windows = Windows {
        from: input.size,
        to: size,
        channels,
        window: [kernel, stride, padding],
    };
    match places {
        None => samples.for_each(|(source, best)| {
            windows.visit(|at, start| {
                let pairs = best[start..start + channels].iter_mut();
                let pairs = pairs.zip(&source[at..at + channels]);
                pairs.for_each(|(best, value)| *best = best.max(*value));
            });
        }),
        Some(places) => {
            places.resize(length, 0);
            let samples = samples.zip(places.par_chunks_exact_mut(to));
            samples.for_each(|((source, best), places)| {
                windows.visit(|at, start| {
                    let values = source[at..at + channels].iter().enumerate();
                    let best = &mut best[start..start + channels];
                    let places = places[start..start + channels].iter_mut();
                    for ((best, place), (c, value)) in best.iter_mut().zip(places).zip(values) {
                        if *value > *best {
                            *best = *value;
                            *place = (at + c) as u32;
                        }
                    }
                });
            });
        }
    }
    out
}

/// The windows of one sample.
struct Windows {
    from: [usize; 2],
    to: [usize; 2],
    channels: usize,
    window: [usize; 3],
}

impl Windows {
    /// Every position of every window, as places of its first channel in the input and in the output.
    fn visit(&self, mut visit: impl FnMut(usize, usize)) {
        let [kernel, stride, padding] = self.window;
        let [height, width] = self.from;
        let range = |place: usize, side: usize| {
            let first = (place * stride).saturating_sub(padding);
            first..(place * stride + kernel).saturating_sub(padding).min(side)
        };
        for y in 0..self.to[0] {
            for x in 0..self.to[1] {
                let start = (y * self.to[1] + x) * self.channels;
                for row in range(y, height) {
                    for col in range(x, width) {
                        visit((row * width + col) * self.channels, start);
                    }
                }
            }
        }
    }
}

/// Every gradient goes to where the largest value was.
fn largest_backward(delta: &Maps, places: &[u32], input: &Maps) -> Maps {
    let mut out = Maps::zeros(delta.samples, input.size, input.channels);
    let (from, to) = (out.per_sample().max(1), delta.per_sample().max(1));
    let samples = out.values.par_chunks_exact_mut(from);
    let samples = samples.zip(delta.values.par_chunks_exact(to));
    let samples = samples.zip(places.par_chunks_exact(to));
    samples.for_each(|((out, delta), places)| {
        for (value, place) in delta.iter().zip(places) {
            out[*place as usize] += value;
        }
    });
    out
}
