//! The mean over a grid, whatever the input's size.

#[cfg(feature = "burn")]
use burn::tensor::module::adaptive_avg_pool2d;
use disinherit_data::ImageShape;
use fiun::FisherError;

use super::operation::{Following, Operation};
use crate::cpu::layer::{Backward, CpuLayer, Record};
use crate::cpu::maps::Maps;
use crate::cpu::weights::Weights;
#[cfg(feature = "burn")]
use crate::device::parameters::Builder;
#[cfg(feature = "burn")]
use crate::device::pass::{DeviceLayer, Flow, Pass};
use crate::error::NetError;

/// As PyTorch cuts the grid: windows overlap where the sides do not divide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AdaptiveAvgPool {
    /// The side of the grid.
    pub(crate) side: usize,
}

impl Operation for AdaptiveAvgPool {
    fn output(&self, input: ImageShape) -> Option<ImageShape> {
        Some(ImageShape {
            height: self.side,
            width: self.side,
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

impl CpuLayer for AdaptiveAvgPool {
    fn forward(&self, input: Maps, _threads: usize) -> Result<Maps, FisherError> {
        Ok(mean(&input, self.side))
    }

    fn record(&self, input: Maps, record: &mut Record) -> Result<Maps, FisherError> {
        let out = mean(&input, self.side);
        record.keep(input.with(Vec::new()));
        Ok(out)
    }

    fn backward(&self, delta: Maps, pass: &mut Backward<'_>) -> Result<Option<Maps>, NetError> {
        Ok(Some(mean_backward(&delta, &pass.kept()?.maps)))
    }
}

#[cfg(feature = "burn")]
impl DeviceLayer for AdaptiveAvgPool {
    fn run(&self, _pass: &mut Pass<'_>, input: Flow) -> Flow {
        Flow::Maps(adaptive_avg_pool2d(input.maps(), [self.side, self.side]))
    }
}

/// The windows of an adaptive pooling along one side: PyTorch's.
fn window(place: usize, side: usize, grid: usize) -> std::ops::Range<usize> {
    place * side / grid..((place + 1) * side).div_ceil(grid)
}

/// The mean over a grid of windows.
fn mean(input: &Maps, grid: usize) -> Maps {
    let mut out = Maps::zeros(input.samples, [grid, grid], input.channels);
    visit(input, grid, |from, to, share| {
        for c in 0..input.channels {
            out.values[to + c] += share * input.values[from + c];
        }
    });
    out
}

/// Every gradient is shared out over its window.
fn mean_backward(delta: &Maps, input: &Maps) -> Maps {
    let mut out = Maps::zeros(delta.samples, input.size, input.channels);
    visit(input, delta.size[0], |from, to, share| {
        for c in 0..delta.channels {
            out.values[from + c] += share * delta.values[to + c];
        }
    });
    out
}

/// Every pair of an input place and a grid place that it counts for, with its share.
fn visit(input: &Maps, grid: usize, mut pair: impl FnMut(usize, usize, f32)) {
    let [height, width] = input.size;
    for sample in 0..input.samples {
        for y in 0..grid {
            for x in 0..grid {
                let (rows, cols) = (window(y, height, grid), window(x, width, grid));
                let share = 1.0 / (rows.len() * cols.len()) as f32;
                let to = ((sample * grid + y) * grid + x) * input.channels;
                for row in rows {
                    for col in cols.clone() {
                        let from = ((sample * height + row) * width + col) * input.channels;
                        pair(from, to, share);
                    }
                }
            }
        }
    }
}
