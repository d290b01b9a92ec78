//! The maximum over square windows.

#[cfg(feature = "burn")]
use burn::tensor::module::max_pool2d;
#[cfg(feature = "burn")]
use burn::tensor::ops::MaxPoolOptions;
use disinherit_data::ImageShape;
use fiun::FisherError;

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
    mut places: Option<&mut Vec<u32>>,
) -> Maps {
    let side = |side: usize| (side + 2 * padding).saturating_sub(kernel) / stride + 1;
    let [height, width] = input.size;
    let size = [side(height), side(width)];
    let channels = input.channels;
    let mut out = Maps::zeros(input.samples, size, channels);
    out.values.fill(f32::NEG_INFINITY);
    if let Some(places) = places.as_deref_mut() {
        places.resize(out.values.len(), 0);
    }
    let (from, to) = (input.per_sample(), out.per_sample());
    for sample in 0..input.samples {
        let source = &input.values[sample * from..(sample + 1) * from];
        for y in 0..size[0] {
            for x in 0..size[1] {
                let start = sample * to + (y * size[1] + x) * channels;
                let best = &mut out.values[start..start + channels];
                let window = |place: usize, side: usize| {
                    let first = (place * stride).saturating_sub(padding);
                    first..(place * stride + kernel).saturating_sub(padding).min(side)
                };
                for row in window(y, height) {
                    for col in window(x, width) {
                        let at = (row * width + col) * channels;
                        let values = &source[at..at + channels];
                        match places.as_deref_mut() {
                            None => {
                                for (best, value) in best.iter_mut().zip(values) {
                                    *best = best.max(*value);
                                }
                            }
                            Some(places) => {
                                let places = &mut places[start..start + channels];
                                for (c, value) in values.iter().enumerate() {
                                    if *value > best[c] {
                                        best[c] = *value;
                                        places[c] = (at + c) as u32;
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    out
}

/// Every gradient goes to where the largest value was.
fn largest_backward(delta: &Maps, places: &[u32], input: &Maps) -> Maps {
    let mut out = Maps::zeros(delta.samples, input.size, input.channels);
    let (from, to) = (out.per_sample().max(1), delta.per_sample().max(1));
    let samples = out.values.chunks_exact_mut(from);
    for ((out, delta), places) in samples
        .zip(delta.values.chunks_exact(to))
        .zip(places.chunks_exact(to))
    {
        for (value, place) in delta.iter().zip(places) {
            out[*place as usize] += value;
        }
    }
    out
}
